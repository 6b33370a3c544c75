// What the harnesses of NG have in place of calls: every request is answered, and has what its
// command needs.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <utility>
#include <vector>

#include "control/call/call_service.h"

namespace turnpike::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();
}

class EchoCalls final : public call::CallService {
 public:
  std::size_t asked = 0;

  void offer(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.call_id.empty() && !request.sdp.empty() && !request.from_tag.empty());
    ++asked;
    reply({{"result", "ok"}, {"sdp", request.sdp}});
  }
  void answer(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.to_tag.empty());
    offer(request, std::move(reply));
  }
  void remove(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.call_id.empty());
    ++asked;
    reply({{"result", "ok"}});
  }
  void query(const call::CallRequest& request, call::ReplyFunction reply) override {
    remove(request, std::move(reply));
  }
  void list(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(request.limit > 0);
    ++asked;
    reply({{"result", "ok"}});
  }
  void publish(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.sdp.empty());
    ++asked;
    reply({{"result", "ok"}});
  }
  void subscribe(const call::CallRequest& request, call::ReplyFunction reply) override {
    remove(request, std::move(reply));
  }
  void answer_subscription(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.sdp.empty());
    unsubscribe(request, std::move(reply));
  }
  void unsubscribe(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.to_tag.empty());
    remove(request, std::move(reply));
  }
  void connect(const call::CallRequest& request, call::ReplyFunction reply) override {
    require(!request.from_tag.empty() && !request.to_tag.empty());
    remove(request, std::move(reply));
  }
  void switch_media(call::MediaCommand, const call::CallRequest& request,
                    call::ReplyFunction reply) override {
    remove(request, std::move(reply));
  }
  ng::Value::Dict node_statistics() const override { return {}; }
  void on_event(const Event&) override {}
  void on_tick() override {}
  void set_draining(bool) override {}
  std::size_t call_count() const override { return 0; }
  std::vector<call::CallSummary> calls() const override { return {}; }
  call::CallAdoption adopt() override { return {}; }
};

}  // namespace turnpike::fuzz
