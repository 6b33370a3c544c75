#include "control/api/session_list.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>

#include "control/api/endpoints.h"
#include "control/api/json.h"

namespace turnpike::api {
namespace {

constexpr Milliseconds kPatience{2000};
constexpr std::size_t kPagesMax = 8;  // that wait for figures at a time

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

enum class Order { kAsKept, kNewest, kOldest, kCallId };

struct Wish {
  std::string search;
  Order order = Order::kAsKept;
  std::size_t offset = 0;
  std::size_t limit = SIZE_MAX;
  bool figures = false;
  std::optional<SessionId> after{};
};

/// Where the last page ended; "" is the beginning.
bool take_cursor(const std::string& text, std::optional<SessionId>& after) {
  after = parse_session_id(text);
  return text.empty() || after->is_set();
}

bool take_number(const std::string& text, std::size_t& number) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  number = value;
  return error == std::errc{} && end == text.data() + text.size();
}

/// "" or why the query cannot be answered.
std::string_view take(const std::string& name, const std::string& value, Wish& wish) {
  static const std::map<std::string, Order> orders = {
      {"newest", Order::kNewest}, {"oldest", Order::kOldest}, {"call_id", Order::kCallId}};
  if (name == "search") {
    wish.search = lower(value);
  } else if (name == "sort") {
    const auto found = orders.find(value);
    if (found == orders.end()) return "sort is newest, oldest or call_id";
    wish.order = found->second;
  } else if (name == "offset") {
    if (!take_number(value, wish.offset)) return "offset is a whole number";
  } else if (name == "limit") {
    if (!take_number(value, wish.limit) || wish.limit == 0) return "limit is a number above 0";
  } else if (name == "figures") {
    if (value != "true" && value != "false") return "figures is true or false";
    wish.figures = value == "true";
  } else if (name == "after") {
    if (!take_cursor(value, wish.after)) return "after is a session's ID, or empty";
  } else {
    return "the query may hold search, sort, offset, limit, figures and after";
  }
  return {};
}

struct Match {
  const call::CallSummary* call = nullptr;
  const call::SessionSummary* session = nullptr;
};

bool matches(const Match& one, const std::string& search) {
  const auto has = [&search](const std::string& text) {
    return lower(text).find(search) != std::string::npos;
  };
  if (search.empty() || has(one.call->call_id) || has(one.call->from_tag)) return true;
  if (has(one.call->to_tag) || has(one.session->kind) || has(to_string(one.session->id))) {
    return true;
  }
  return std::any_of(one.session->legs.begin(), one.session->legs.end(), [&](const auto& leg) {
    return has(leg.interface) || (leg.local.is_set() && has(turnpike::to_string(leg.local))) ||
           (leg.remote.is_set() && has(turnpike::to_string(leg.remote)));
  });
}

void sort(std::vector<Match>& matches, Order order) {
  const auto by = [&matches](auto less) {
    std::stable_sort(matches.begin(), matches.end(),
                     [&less](const Match& a, const Match& b) { return less(*a.call, *b.call); });
  };
  using Call = const call::CallSummary&;
  if (order == Order::kNewest) by([](Call a, Call b) { return a.created > b.created; });
  if (order == Order::kOldest) by([](Call a, Call b) { return a.created < b.created; });
  if (order == Order::kCallId) by([](Call a, Call b) { return a.call_id < b.call_id; });
}

Json leg_figures(const call::LegSummary& summary, const LegStats& leg, Instant now) {
  std::uint64_t lost = 0;
  std::uint32_t jitter = 0;
  const std::size_t count = std::min<std::size_t>(leg.stream_count, leg.streams.size());
  for (std::size_t i = 0; i < count; ++i) {
    lost += leg.streams[i].packets_lost;
    // The stream that is heard now, not one that has ended.
    if (leg.streams[i].last_rtp == leg.last_rtp) jitter = leg.streams[i].jitter;
  }
  std::uint64_t dropped = 0;
  for (const std::uint32_t packets : leg.drops) dropped += packets;
  const double rate = leg.clock_rate_hz == 0 ? 8000.0 : leg.clock_rate_hz;
  const double jitter_ms = std::round(jitter * 100000.0 / rate) / 100;
  const bool selected = leg.transport.pair_count != 0 && leg.transport.pairs[0].selected;
  return {{"interface", summary.interface},
          {"remote", address_json(selected ? leg.transport.pairs[0].remote : summary.remote)},
          {"packets_received", leg.packets_received},
          {"packets_sent", leg.packets_sent},
          {"packets_lost", lost},
          {"packets_dropped", dropped},
          {"jitter_timestamp_units", jitter},
          {"jitter_ms", jitter_ms},
          {"last_packet_age_seconds", age(leg.last_packet, now)}};
}

}  // namespace

struct SessionList::Row {
  call::CallSummary call;  // without its sessions
  call::SessionSummary session;
  std::optional<SessionStats> stats{};
};

struct SessionList::Page {
  Instant give_up_at{};
  Respond respond;
  bool figures = false;
  std::size_t total = 0;
  std::size_t matching = 0;
  std::vector<Row> rows{};
  std::size_t waiting = 0;

  void answer(Instant now) const {
    Json list = Json::array();
    for (const Row& row : rows) {
      Json entry{{"id", to_string(row.session.id)}, {"kind", row.session.kind}};
      entry.update(call_json(row.call, now));
      if (figures) {
        entry["legs"] = nullptr;
        if (row.stats) {
          entry["legs"] = {{"a", leg_figures(row.session.legs[0], row.stats->legs[0], now)},
                           {"b", leg_figures(row.session.legs[1], row.stats->legs[1], now)}};
        }
      }
      list.push_back(std::move(entry));
    }
    respond(json_response(
        200, {{"total", total}, {"matching", matching}, {"sessions", std::move(list)}}));
  }
};

SessionList::SessionList(Relay& relay, const call::CallService& calls,
                         std::function<Instant()> clock, std::uint64_t first_token)
    : relay_(relay), calls_(calls), clock_(std::move(clock)), first_token_(first_token) {}

void SessionList::handle(const Request& request, const Respond& respond) {
  Wish wish;
  for (const auto& [name, value] : request.query) {
    const std::string_view complaint = take(name, value, wish);
    if (!complaint.empty()) return respond(failure(400, complaint));
  }
  if (wish.figures && wish.limit > kFiguresMax) {
    return respond(failure(400, "figures need a limit of at most 50"));
  }
  if (wish.after && (!wish.search.empty() || wish.order != Order::kAsKept || wish.offset != 0)) {
    return respond(failure(400, "after goes with limit and figures only"));
  }
  // A cursor makes a walk over all sessions cost what they are, not their square.
  const std::vector<call::CallSummary> calls =
      wish.after ? calls_.sessions_after(*wish.after, wish.limit) : calls_.calls();
  std::vector<Match> found;
  auto page = std::make_shared<Page>();
  for (const call::CallSummary& call : calls) {
    for (const call::SessionSummary& session : call.sessions) {
      ++page->total;
      if (matches({&call, &session}, wish.search)) found.push_back({&call, &session});
    }
  }
  if (wish.after) page->total = calls_.session_count();
  page->matching = wish.after ? page->total : found.size();
  sort(found, wish.order);
  found.erase(found.begin(),
              found.begin() + static_cast<std::ptrdiff_t>(std::min(wish.offset, found.size())));
  if (found.size() > wish.limit) found.resize(wish.limit);
  for (const Match& one : found) {
    Row row{{}, *one.session};
    row.call.call_id = one.call->call_id;
    row.call.from_tag = one.call->from_tag;
    row.call.to_tag = one.call->to_tag;
    row.call.answered = one.call->answered;
    row.call.created = one.call->created;
    page->rows.push_back(std::move(row));
  }
  page->respond = respond;
  page->figures = wish.figures;
  if (wish.figures) return ask_for_figures(page);
  page->answer(clock_());
}

void SessionList::ask_for_figures(const std::shared_ptr<Page>& page) {
  std::set<const Page*> pages;
  for (const auto& [token, asked] : asked_by_token_) pages.insert(asked.page.get());
  if (pages.size() >= kPagesMax) {
    return page->respond(failure(503, "too many requests for figures at a time; ask again"));
  }
  page->give_up_at = clock_() + kPatience;
  for (std::size_t i = 0; i < page->rows.size(); ++i) {
    const std::uint64_t token = first_token_ + tokens_used_++;
    if (!relay_.query_session(page->rows[i].session.id, token)) continue;
    asked_by_token_[token] = {page, i};
    ++page->waiting;
  }
  if (page->waiting == 0) page->answer(clock_());
}

bool SessionList::on_event(const Event& event) {
  if (event.token < first_token_ || event.token - first_token_ > UINT32_MAX) return false;
  const auto found = asked_by_token_.find(event.token);
  if (found == asked_by_token_.end()) return true;
  const Asked asked = found->second;
  asked_by_token_.erase(found);
  asked.page->rows[asked.row].stats = event.stats;
  if (--asked.page->waiting == 0) asked.page->answer(clock_());
  return true;
}

void SessionList::on_tick() {
  const Instant now = clock_();
  std::set<std::shared_ptr<Page>> late;
  std::erase_if(asked_by_token_, [&](const auto& one) {
    if (one.second.page->give_up_at > now) return false;
    late.insert(one.second.page);
    return true;
  });
  for (const auto& page : late) page->answer(now);
}

}  // namespace turnpike::api
