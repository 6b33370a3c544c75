// turnpikectl: what the running daemon is doing, and what keeps a node from its work.
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <poll.h>
#include <unistd.h>

#include "control/cli/completion.h"
#include "control/cli/man_page.h"
#include "control/ctl/capture.h"
#include "control/ctl/client.h"
#include "control/ctl/print.h"
#include "control/ctl/top.h"
#include "control/doctor/examine.h"
#include "turnpike/standard_descriptors.h"

namespace {

using namespace turnpike;

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kWrongUse = 2;

int fail(const std::string& message) {
  std::fprintf(stderr, "turnpikectl: %s\n", message.c_str());
  return kFailed;
}

struct Options {
  std::string socket_path = "/run/turnpike/api.sock";
  bool json = false;
};

/// The body of a successful answer.
Result<std::string> body_of(Result<ctl::Answer> answer) {
  if (!answer) return answer.error();
  if (answer->status != 200) return Error{ctl::print_failure(answer->body)};
  return std::move(answer->body);
}

Result<std::string> fetch(const Options& options, const std::string& path) {
  return body_of(ctl::ask(options.socket_path, path));
}

int show(const Options& options, const Result<std::string>& body,
         Result<std::string> (*print)(const std::string&)) {
  if (!body) return fail(body.error().message);
  const Result<std::string> text = options.json ? body : print(*body);
  if (!text) return fail(text.error().message);
  std::fputs(text->c_str(), stdout);
  return kDone;
}

/// POST, and what it did; with --json the body of a refusal too.
int tell(const Options& options, const std::string& path,
         const std::function<Result<std::string>(const std::string&)>& print) {
  const Result<ctl::Answer> answer = ctl::tell(options.socket_path, path);
  if (!answer) return fail(answer.error().message);
  const bool done = answer->status == 200;
  // A reload that is refused answers with every mistake.
  const bool has_report = done || answer->status == 409;
  const Result<std::string> text = options.json ? answer->body : print(answer->body);
  if (!has_report || !text) return fail(ctl::print_failure(answer->body));
  std::fputs(text->c_str(), done || options.json ? stdout : stderr);
  return done ? kDone : kFailed;
}

struct ListOptions {
  std::string search;
  std::string sort;
  std::uint32_t limit = 0;
  double watch_seconds = 0;
};

int list_sessions(const Options& options, const ListOptions& list) {
  std::string path = "/v1/sessions?search=" + ctl::escaped(list.search);
  if (!list.sort.empty()) path += "&sort=" + list.sort;
  if (list.limit != 0) path += "&limit=" + std::to_string(list.limit);
  return show(options, fetch(options, path), ctl::print_sessions);
}

void wait_for(double seconds) {
  static_cast<void>(::poll(nullptr, 0, static_cast<int>(seconds * 1000)));
}

void clear_screen(bool again) {
  if (again && isatty(STDOUT_FILENO) != 0) std::fputs("\033[H\033[2J", stdout);
}

/// Shows anew every so many seconds, on a screen that is cleared before; 0: once.
int repeat(double seconds, const std::function<int()>& once) {
  if (seconds <= 0) return once();
  for (;;) {
    clear_screen(true);
    const int code = once();
    if (code != kDone || std::fflush(stdout) != 0) return code;
    wait_for(seconds);
  }
}

constexpr std::size_t kTopPage = 50;  // as many as the API gives figures of at once

/// Figures of all sessions. Sessions come and go between the pages; none that stays is missed.
Result<ctl::TopSnapshot> snapshot(const Options& options) {
  ctl::TopSnapshot sessions;
  const std::string path =
      "/v1/sessions?figures=true&limit=" + std::to_string(kTopPage) + "&after=";
  for (std::string last;;) {
    const auto body = fetch(options, path + last);
    if (!body) return body.error();
    auto page = ctl::add_page(*body, sessions);
    if (!page) return page.error();
    if (page->sessions < kTopPage) return sessions;
    last = std::move(page->last);
  }
}

/// What happens in `seconds`; with `forever` again and again.
int show_top(const Options& options, const ListOptions& list, double seconds, bool forever) {
  using Clock = std::chrono::steady_clock;
  const auto first = snapshot(options);
  if (!first) return fail(first.error().message);
  ctl::TopSnapshot before = *first;
  auto taken = Clock::now();
  const auto once = [&]() {
    wait_for(seconds);
    const auto after = snapshot(options);
    if (!after) return fail(after.error().message);
    const std::chrono::duration<double> passed = Clock::now() - taken;
    clear_screen(forever);
    std::fputs(
        ctl::print_top(before, *after, passed.count(), list.sort, list.limit, options.json).c_str(),
        stdout);
    before = *after;
    taken = Clock::now();
    return kDone;
  };
  int code = once();
  while (forever && code == kDone && std::fflush(stdout) == 0) code = once();
  return code;
}

/// `name` is the ID of a session, or a call-id: then all sessions of that call are shown.
int show_sessions(const Options& options, const std::string& name) {
  if (name.find_first_not_of("0123456789-") == std::string::npos) {
    // It may still be a call-id: some devices make theirs of digits alone.
    Result<ctl::Answer> answer = ctl::ask(options.socket_path, "/v1/sessions/" + name);
    if (!answer || answer->status == 200) {
      return show(options, body_of(std::move(answer)), ctl::print_session);
    }
  }
  const Result<std::string> list = fetch(options, "/v1/sessions");
  if (!list) return fail(list.error().message);
  const auto ids = ctl::sessions_of_call(*list, name);
  if (!ids) return fail(ids.error().message);
  if (ids->empty()) return fail("there is no such call (any more)");
  for (const std::string& id : *ids) {
    const int code = show(options, fetch(options, "/v1/sessions/" + id), ctl::print_session);
    if (code != kDone) return code;
  }
  return kDone;
}

struct MeasureOptions {
  unsigned seconds = 5;
  unsigned mbit = 100;
};

/// Has the path to an edge measured and waits for the figures.
int measure_path(const Options& options, const std::string& peer, const MeasureOptions& what) {
  const auto answer =
      body_of(ctl::tell(options.socket_path, "/v1/zones/measure?peer=" + ctl::escaped(peer) +
                                                 "&seconds=" + std::to_string(what.seconds) +
                                                 "&mbit=" + std::to_string(what.mbit)));
  if (!answer) return fail(answer.error().message);
  const auto begun = ctl::begun_measurement(*answer);
  if (!begun) return fail(begun.error().message);
  for (;;) {
    wait_for(0.2);
    const auto zones = fetch(options, "/v1/zones");
    if (!zones) return fail(zones.error().message);
    const auto text = ctl::print_measurement(*zones, *begun, options.json);
    if (!text) return fail(text.error().message);
    if (text->empty()) continue;
    std::fputs(text->c_str(), stdout);
    return kDone;
  }
}

struct CaptureOptions {
  std::string leg;
  bool headers = false;
  bool plain_payload = false;
  std::uint32_t seconds = 30;
  std::uint32_t packets = 100000;
  std::string file;
};

int capture(const Options& options, const std::string& call_id, const CaptureOptions& what) {
  const std::string path =
      "/v1/calls/capture?call_id=" + ctl::escaped(call_id) +
      (what.leg.empty() ? "" : "&leg=" + what.leg) + (what.headers ? "&headers=true" : "") +
      (what.plain_payload ? "&plain_payload=true" : "") +
      "&seconds=" + std::to_string(what.seconds) + "&packets=" + std::to_string(what.packets);
  const auto done = ctl::capture(options.socket_path, path, what.file);
  if (!done) return fail(done.error().message);
  // Not to standard output: the file may go there.
  std::fprintf(stderr, "%llu packets captured, %llu missing; %s\n",
               static_cast<unsigned long long>(done->packets()),
               static_cast<unsigned long long>(done->missing()),
               done->why().empty() ? "cut short" : done->why().c_str());
  return kDone;
}

int examine(const Options& options, doctor::ExamineOptions what, bool socket_given) {
  if (socket_given) what.socket_path = options.socket_path;
  const doctor::Report report = doctor::examine(what);
  const std::string text = options.json ? doctor::to_json(report) : doctor::to_text(report);
  std::fputs(text.c_str(), stdout);
  const bool well =
      report.count(doctor::Verdict::kFailed) == 0 && report.count(doctor::Verdict::kUnclear) == 0;
  return well ? kDone : kFailed;
}

/// What was printed may have met a full disk or a closed pipe.
int finish(int code) {
  std::cout.flush();
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return code;
  return fail(std::string("the output cannot be written (") +
              (errno == 0 ? "write error" : std::strerror(errno)) + ")");
}

/// The command line: each subcommand with what it does. Values live as long as this.
class CommandLine {
 public:
  CommandLine() {
    socket_ =
        app_.add_option("--socket,--api", options_.socket_path, "unix socket of the daemon's API")
            ->capture_default_str();
    app_.add_flag("--json", options_.json, "print the API's answer as it is");
    app_.set_version_flag("--version", "turnpikectl " TURNPIKE_VERSION);
    app_.add_flag("--print-man", print_man_, "print the manual page");
    app_.add_option("--print-completion", shell_, "print what completes commands for a shell")
        ->check(CLI::IsMember({"bash", "zsh"}));
    app_.require_subcommand(0, 1);
    app_.fallthrough();
    add_views();
    add_sessions();
    add_operations();
    add_doctor();
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
      if (print_man_) return put(cli::man_page(app_, page()));
      if (const auto script = cli::completion(app_, shell_)) return put(*script);
      if (app_.get_subcommands().empty()) throw CLI::RequiredError::Subcommand(1);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? kDone : kWrongUse;
    }
    for (const Command& command : commands_) {
      if (command.app->parsed()) return command.run();
    }
    return kWrongUse;
  }

 private:
  struct Command {
    CLI::App* app = nullptr;
    std::function<int()> run;
  };
  using Print = Result<std::string> (*)(const std::string&);

  static int put(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    return kDone;
  }

  static cli::ManPage page() {
    return {.section = 1,
            .description =
                "turnpikectl asks the turnpiked of this host through its unix socket and shows "
                "what it answers, or tells it what to do. Who may write to the socket may use it.",
            .more = {{"EXIT STATUS",
                      "0\tDone.\n"
                      "1\tThe daemon is not running, knows no such session, refuses the file at a "
                      "reload, a capture was cut short, or doctor found a failure.\n"
                      "2\tThe command line is wrong."},
                     {"FILES", "/run/turnpike/api.sock\tWhere turnpiked answers."},
                     {"SEE ALSO", "turnpiked(8), turnpike.toml(5)"}}};
  }

  CLI::App* add(CLI::App& parent, const char* name, const char* about, std::function<int()> run) {
    CLI::App* const app = parent.add_subcommand(name, about);
    commands_.push_back({app, std::move(run)});
    return app;
  }

  void add_view(CLI::App& parent, const char* name, const char* about, const char* path,
                Print print) {
    add(parent, name, about,
        [this, path, print] { return show(options_, fetch(options_, path), print); });
  }

  void add_views() {
    add_view(app_, "status", "calls, sessions, ports, drops", "/v1/status", ctl::print_status);
    add_view(app_, "stats", "what was done since the start, rates, drops by reason", "/v1/stats",
             ctl::print_stats);
    add_view(app_, "ports", "media ports by interface and shard: taken, free, quarantined",
             "/v1/ports", ctl::print_ports);
    add_zone();
    add_turn();
    CLI::App* const tls = app_.add_subcommand("tls", "what is encrypted, and how");
    tls->require_subcommand(1);
    add_view(*tls, "connections",
             "every TLS connection of turnpiked: peer, cipher, how it was verified",
             "/v1/tls/connections", ctl::print_tls_connections);
  }

  void add_zone() {
    CLI::App* const zone = app_.add_subcommand("zone", "zones, peers, certificates, last errors");
    zone->require_subcommand(0, 1);
    CLI::App* const measure =
        add(*zone, "measure", "what the path to an edge carries, and what signalling feels of it",
            [this] { return measure_path(options_, name_, measured_); });
    measure->add_option("PEER", name_, "as `turnpikectl zone` shows it, or ZONE/PEER");
    measure->add_option("--seconds", measured_.seconds, "so long each way")
        ->check(CLI::Range(1, 30))
        ->capture_default_str();
    measure->add_option("--mbit", measured_.mbit, "no more than so many Mbit/s")
        ->check(CLI::Range(1, 500))
        ->capture_default_str();
    // After its subcommand, which is asked first.
    commands_.push_back(
        {zone, [this] { return show(options_, fetch(options_, "/v1/zones"), ctl::print_zones); }});
  }

  void add_turn() {
    CLI::App* const turn = app_.add_subcommand("turn", "TURN allocations, refusals and drops");
    turn->require_subcommand(0, 1);
    CLI::App* const end = add(*turn, "end", "end an allocation", [this] {
      return tell(options_, "/v1/turn/end/" + ctl::escaped(name_),
                  [](const std::string& body) { return ctl::print_done(body); });
    });
    end->add_option("ID", name_, "as `turnpikectl turn` shows it")->required();
    // After its subcommand, which is asked first.
    commands_.push_back(
        {turn, [this] { return show(options_, fetch(options_, "/v1/turn"), ctl::print_turn); }});
  }

  void add_sessions() {
    CLI::App* const sessions = add(app_, "sessions", "one line for each session", [this] {
      return repeat(list_.watch_seconds, [this] { return list_sessions(options_, list_); });
    });
    sessions->add_option("--search", list_.search,
                         "only those with this in call-id, tag, address, interface or kind");
    sessions->add_option("--sort", list_.sort, "by age or call-id")
        ->check(CLI::IsMember({"newest", "oldest", "call_id"}));
    sessions->add_option("--limit", list_.limit, "at most so many")->check(CLI::PositiveNumber);
    sessions
        ->add_option("--watch", list_.watch_seconds, "again every so many seconds, until Ctrl-C")
        ->check(CLI::Range(0.1, 3600.0));
    add_top();
    CLI::App* const session = add(app_, "session", "figures of one session, by leg and stream",
                                  [this] { return show_sessions(options_, name_); });
    session->add_option("ID", name_, "as `turnpikectl sessions` shows it, or a call-id")
        ->required();
  }

  void add_top() {
    CLI::App* const top =
        add(app_, "top", "the sessions that carry, lose or wait most, while it looks",
            [this] { return show_top(options_, top_, seconds_, watch_); });
    top_.sort = "packets";
    top_.limit = 20;
    top->add_option("--sort", top_.sort, "by what, the largest first")
        ->check(CLI::IsMember({"packets", "loss", "jitter", "drops"}))
        ->capture_default_str();
    top->add_option("--limit", top_.limit, "at most so many")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    top->add_option("--seconds", seconds_, "how long it looks")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();
    top->add_flag("--watch", watch_, "again and again, until Ctrl-C");
  }

  void add_operations() {
    const auto print = [](Print of) { return [of](const std::string& body) { return of(body); }; };
    add(app_, "drain", "refuse new calls until `resume`",
        [this, print] { return tell(options_, "/v1/drain", print(ctl::print_status)); });
    add(app_, "resume", "take new calls again",
        [this, print] { return tell(options_, "/v1/resume", print(ctl::print_status)); });
    CLI::App* const reload =
        add(app_, "reload", "put the changed configuration into force, calls stay up", [this] {
          return tell(options_, std::string("/v1/reload?check=") + (check_ ? "true" : "false"),
                      [this](const std::string& body) { return ctl::print_reload(body, check_); });
        });
    reload->add_flag("--check", check_, "only tell what would change, and what needs a restart");
    CLI::App* const level = add(app_, "log-level", "show or set how much is logged", [this, print] {
      return tell(options_, "/v1/log-level" + (level_.empty() ? "" : "?level=" + level_),
                  print(ctl::print_log_level));
    });
    level->add_option("LEVEL", level_, "until the next reload or restart")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
    add_limits();
    CLI::App* const end = add(app_, "end", "end a call", [this, print] {
      return tell(options_, "/v1/calls/end?call_id=" + ctl::escaped(name_), print(ctl::print_end));
    });
    end->add_option("CALL-ID", name_, "media stops at once; the SIP server is told nothing")
        ->required();
    add_capture();
  }

  void add_limits() {
    CLI::App* const limits = app_.add_subcommand(
        "limits", "what the daemon takes on at most, and how much of it is in use");
    limits->require_subcommand(0, 1);
    CLI::App* const set =
        add(*limits, "set", "another value until the next reload or restart", [this] {
          return tell(options_,
                      "/v1/limits?key=" + ctl::escaped(name_) + "&value=" + std::to_string(value_),
                      [](const std::string& body) { return ctl::print_limits(body); });
        });
    set->add_option("KEY", name_, "as `turnpikectl limits` shows it")->required();
    set->add_option("VALUE", value_, "within the bounds of the configuration's key")->required();
    commands_.push_back({limits, [this] {
                           return show(options_, fetch(options_, "/v1/limits"), ctl::print_limits);
                         }});
  }

  void add_capture() {
    CLI::App* const command =
        add(app_, "capture", "write a call's packets to a pcapng file, as they are on the wire",
            [this] { return capture(options_, name_, capture_); });
    command->add_option("CALL-ID", name_, "as `turnpikectl sessions` shows it")->required();
    command->add_option("-o,--output", capture_.file, "file to write, or - for standard output")
        ->required();
    command->add_option("--leg", capture_.leg, "only this one; a made the first offer")
        ->check(CLI::IsMember({"a", "b"}));
    command->add_flag("--headers", capture_.headers, "of RTP and SRTP only the headers");
    command->add_flag("--plain-payload", capture_.plain_payload,
                      "also what is said on legs without encryption, of which else only headers "
                      "are written");
    command->add_option("--seconds", capture_.seconds, "until so many are over, or the call is")
        ->check(CLI::Range(1, 600))
        ->capture_default_str();
    command->add_option("--packets", capture_.packets, "until there are so many")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
  }

  void add_doctor() {
    CLI::App* const doctor =
        add(app_, "doctor", "what is wrong with this node and its zone, and how to mend it",
            [this] { return examine(options_, what_, socket_->count() > 0); });
    what_.config_path = "/etc/turnpike/turnpike.toml";
    doctor->add_option("--config", what_.config_path, "configuration file of this node")
        ->capture_default_str();
    doctor->add_option("--account", what_.account,
                       "account that turnpiked runs under (default: as it runs, or as configured)");
  }

  CLI::App app_{"Shows what turnpiked is doing, and tells it what to do.", "turnpikectl"};
  const CLI::Option* socket_ = nullptr;
  std::vector<Command> commands_;
  Options options_;
  ListOptions list_;
  ListOptions top_;
  MeasureOptions measured_;
  double seconds_ = 2;
  bool watch_ = false;
  std::string name_;
  std::string level_;
  CaptureOptions capture_;
  std::int64_t value_ = 0;
  bool check_ = false;
  bool print_man_ = false;
  std::string shell_;
  doctor::ExamineOptions what_;
};

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  return finish(CommandLine().run(argc, argv));
}
