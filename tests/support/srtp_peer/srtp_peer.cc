// A media peer of many legs in one process, told what to do on its standard input, one command a
// line, each answered with one line of JSON. Hides: pacing and polling. The legs judge (leg.h).
//
//   leg ID LOCAL_IP LOCAL_PORT REMOTE_IP RTP_PORT RTCP_PORT MUX SSRC EXPECTED_SSRC
//       SEND_SUITE SEND_KEY RECEIVE_SUITE RECEIVE_KEY      a suite "none" is plain RTP
//   start MILLISECONDS    every leg sends a packet each so many milliseconds (and RTCP each 25)
//   pause                 stops sending
//   make ID COUNT         gives the next packets of a leg as hexadecimal instead of sending them
//   make-rtcp ID COUNT    the same with its RTCP packets
//   move ID PORT          the leg goes on from another local port
//   report                counters of every leg

#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "leg.h"

namespace {

constexpr std::int64_t kMillisecondNs = 1000000;
constexpr unsigned kPacketsPerReport = 25;

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

void answer(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

class Peer {
 public:
  Peer() : poll_(epoll_create1(EPOLL_CLOEXEC)) {
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    const itimerspec each{{0, kMillisecondNs}, {0, kMillisecondNs}};
    timerfd_settime(timer_, 0, &each, nullptr);
    watch(timer_);
    watch(STDIN_FILENO);
  }

  void run() {
    std::array<epoll_event, 256> events{};
    while (!ended_) {
      const int count = epoll_wait(poll_, events.data(), static_cast<int>(events.size()), -1);
      const std::int64_t now = now_ns();
      for (int i = 0; i < count; ++i) {
        on_readable(events[static_cast<std::size_t>(i)].data.fd, now);
      }
    }
  }

 private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event);
  }

  void on_readable(int fd, std::int64_t now) {
    if (fd == timer_) {
      std::uint64_t ticks = 0;
      if (read(timer_, &ticks, sizeof ticks) > 0) {
        send_due(now);
      }
    } else if (fd == STDIN_FILENO) {
      read_commands();
    } else if (const auto leg = by_socket_.find(fd); leg != by_socket_.end()) {
      leg->second->receive(fd, now);
    }
  }

  void send_due(std::int64_t now) {
    for (const auto& leg : legs_) {
      while (interval_ns_ > 0 && leg->due_ns <= now) {
        leg->send_rtp();
        if (++sent_[leg.get()] % kPacketsPerReport == 1) {
          leg->send_rtcp();
        }
        leg->due_ns += interval_ns_;
      }
    }
  }

  void read_commands() {
    std::array<char, 65536> chunk{};
    const ssize_t size = read(STDIN_FILENO, chunk.data(), chunk.size());
    if (size <= 0) {
      ended_ = true;
      return;
    }
    input_.append(chunk.data(), static_cast<std::size_t>(size));
    for (std::size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      run_command(input_.substr(0, end));
      input_.erase(0, end + 1);
    }
  }

  void run_command(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "leg") {
      add_leg(words);
    } else if (command == "start") {
      start(words);
    } else if (command == "pause") {
      interval_ns_ = 0;
      answer("{}");
    } else if (command == "make") {
      make(words, &peer::Leg::make_rtp);
    } else if (command == "make-rtcp") {
      make(words, &peer::Leg::make_rtcp);
    } else if (command == "move") {
      move(words);
    } else if (command == "report") {
      report();
    } else {
      answer("{\"error\": \"unknown command\"}");
    }
  }

  void add_leg(std::istringstream& in) {
    peer::LegWords w;
    in >> w.id >> w.local_ip >> w.local_port >> w.remote_ip >> w.remote_rtp >> w.remote_rtcp >>
        w.mux >> w.ssrc >> w.expected_ssrc >> w.send_suite >> w.send_key >> w.receive_suite >>
        w.receive_key;
    legs_.push_back(std::make_unique<peer::Leg>(w));
    watch_sockets(*legs_.back());
    answer("{}");
  }

  void watch_sockets(peer::Leg& leg) {
    for (const int fd : {leg.rtp_socket(), leg.rtcp_socket()}) {
      if (fd >= 0) {
        by_socket_[fd] = &leg;
        watch(fd);
      }
    }
  }

  void start(std::istringstream& in) {
    std::int64_t milliseconds = 20;
    in >> milliseconds;
    interval_ns_ = milliseconds * kMillisecondNs;
    // Spread over the interval, so that the load is even.
    const std::int64_t now = now_ns();
    for (std::size_t i = 0; i < legs_.size(); ++i) {
      legs_[i]->due_ns = now + interval_ns_ * static_cast<std::int64_t>(i) /
                                   static_cast<std::int64_t>(legs_.size());
    }
    answer("{}");
  }

  peer::Leg* find(std::istringstream& in) {
    std::string id;
    in >> id;
    for (const auto& leg : legs_) {
      if (leg->id() == id) {
        return leg.get();
      }
    }
    answer("{\"error\": \"no such leg\"}");
    return nullptr;
  }

  void make(std::istringstream& in, std::vector<std::uint8_t> (peer::Leg::*next)()) {
    peer::Leg* leg = find(in);
    unsigned count = 0;
    if (leg == nullptr || !(in >> count)) {
      return;
    }
    std::string text = "{\"packets\": [";
    for (unsigned i = 0; i < count; ++i) {
      text += i == 0 ? "\"" : ", \"";
      for (const std::uint8_t byte : (leg->*next)()) {
        std::array<char, 3> digits{};
        std::snprintf(digits.data(), digits.size(), "%02x", byte);
        text += digits.data();
      }
      text += "\"";
    }
    answer(text + "]}");
  }

  void move(std::istringstream& in) {
    peer::Leg* leg = find(in);
    unsigned port = 0;
    if (leg == nullptr || !(in >> port)) {
      return;
    }
    by_socket_.erase(leg->rtp_socket());
    by_socket_.erase(leg->rtcp_socket());
    leg->move(static_cast<std::uint16_t>(port));
    watch_sockets(*leg);
    answer("{}");
  }

  void report() {
    std::string text = "{\"legs\": [";
    for (std::size_t i = 0; i < legs_.size(); ++i) {
      text += (i == 0 ? "" : ", ") + legs_[i]->report();
    }
    answer(text + "]}");
  }

  int poll_ = -1, timer_ = -1;
  bool ended_ = false;
  std::int64_t interval_ns_ = 0;
  std::string input_;
  std::vector<std::unique_ptr<peer::Leg>> legs_;
  std::unordered_map<int, peer::Leg*> by_socket_;
  std::unordered_map<const peer::Leg*, std::uint64_t> sent_;
};

}  // namespace

int main() {
  if (srtp_init() != srtp_err_status_ok) {
    return 1;
  }
  Peer().run();
  srtp_shutdown();
  return 0;
}
