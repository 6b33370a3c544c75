// Records over an adoption, over damage, and over a death at every single instruction.
#include "relay/io/record_store.h"

#include <cstring>
#include <functional>
#include <map>
#include <random>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

namespace turnpike {
namespace {

using Records = std::map<std::uint64_t, std::string>;

constexpr std::size_t kBlock = 512;

/// A store, and a view of its memory that does not depend on it.
struct StoreUnderTest {
  explicit StoreUnderTest(std::size_t bytes) {
    auto memory = SharedMemory::create("records", bytes);
    EXPECT_TRUE(memory);
    auto shared = SharedMemory::adopt(fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0), bytes);
    EXPECT_TRUE(shared);
    view = std::move(*shared);
    auto opened = RecordStore::open(std::move(*memory));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    store = std::move(*opened);
  }
  std::string memory() const {
    return std::string(static_cast<const char*>(static_cast<void*>(view.data())), view.size());
  }

  SharedMemory view;
  std::unique_ptr<RecordStore> store;
};

Records contents(const RecordStore& store) {
  const auto all = store.all();
  Records records(all.begin(), all.end());
  EXPECT_EQ(records.size(), all.size()) << "a key is there twice";
  return records;
}

/// What a new process finds in a copy of this memory. Also returns the memory as it left it.
struct Found {
  std::string error;
  Records records;
  std::size_t damaged = 0;
  std::string memory_after;
};
Found open_copy(const std::string& memory) {
  Found found;
  auto copy = SharedMemory::create("copy", memory.size());
  EXPECT_TRUE(copy);
  std::memcpy(copy->data(), memory.data(), memory.size());
  auto view = SharedMemory::adopt(fcntl(copy->fd(), F_DUPFD_CLOEXEC, 0), memory.size());
  EXPECT_TRUE(view);
  auto opened = RecordStore::open(std::move(*copy));
  if (!opened) {
    found.error = opened.error().message;
    return found;
  }
  found.records = contents(**opened);
  found.damaged = (*opened)->damaged();
  found.memory_after.assign(static_cast<const char*>(static_cast<void*>(view->data())),
                            view->size());
  return found;
}

std::string text(std::size_t size, char fill) {
  return std::string(size, fill);
}

TEST(RecordStore, an_adopter_finds_every_record) {
  StoreUnderTest under_test(256 * kBlock);
  Records expected;
  for (const std::size_t size : {0, 1, 7, 8, 471, 472, 473, 943, 944, 945, 4096, 20000}) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * 7 + size);
    ASSERT_TRUE(under_test.store->store(size + 1, bytes));
    expected[size + 1] = bytes;
  }
  EXPECT_EQ(contents(*under_test.store), expected);
  const Found found = open_copy(under_test.memory());
  EXPECT_EQ(found.records, expected);
  EXPECT_EQ(found.damaged, 0U);
}

TEST(RecordStore, storing_again_replaces_and_erasing_removes) {
  StoreUnderTest under_test(64 * kBlock);
  RecordStore& store = *under_test.store;
  ASSERT_TRUE(store.store(5, "first"));
  ASSERT_TRUE(store.store(5, "second"));
  ASSERT_TRUE(store.store(6, "other"));
  EXPECT_EQ(contents(store), (Records{{5, "second"}, {6, "other"}}));
  store.erase(5);
  store.erase(5);
  store.erase(99);
  EXPECT_EQ(contents(store), (Records{{6, "other"}}));
  EXPECT_EQ(open_copy(under_test.memory()).records, (Records{{6, "other"}}));
}

TEST(RecordStore, erased_and_replaced_bytes_are_wiped) {
  StoreUnderTest under_test(64 * kBlock);
  ASSERT_TRUE(under_test.store->store(1, text(3000, 'S')));
  ASSERT_TRUE(under_test.store->store(2, text(3000, 'T')));
  ASSERT_TRUE(under_test.store->store(1, "short"));
  under_test.store->erase(2);
  const std::string memory = under_test.memory();
  EXPECT_EQ(memory.find("SSSS"), std::string::npos);
  EXPECT_EQ(memory.find("TTTT"), std::string::npos);
  EXPECT_NE(memory.find("short"), std::string::npos);
}

TEST(RecordStore, without_room_nothing_is_under_the_key_and_the_others_stay) {
  StoreUnderTest under_test(11 * kBlock);  // 10 blocks of data
  RecordStore& store = *under_test.store;
  ASSERT_TRUE(store.store(1, text(4 * 472, 'a')));
  ASSERT_TRUE(store.store(2, text(4 * 472, 'b')));
  EXPECT_TRUE(store.store(2, text(6 * 472, 'c'))) << "room once the old one is gone";
  EXPECT_FALSE(store.store(3, "d"));
  EXPECT_FALSE(store.store(2, text(6 * 472 + 1, 'e')));
  EXPECT_EQ(contents(store), (Records{{1, text(4 * 472, 'a')}}));
  EXPECT_TRUE(store.store(2, text(6 * 472, 'f')));
  EXPECT_EQ(open_copy(under_test.memory()).records.size(), 2U);
}

TEST(RecordStore, an_adopted_store_can_be_written_on) {
  StoreUnderTest under_test(64 * kBlock);
  ASSERT_TRUE(under_test.store->store(1, "one"));
  ASSERT_TRUE(under_test.store->store(2, text(2000, 'x')));
  const int fd = fcntl(under_test.store->fd(), F_DUPFD_CLOEXEC, 0);
  under_test.store.reset();
  auto memory = SharedMemory::adopt(fd, 64 * kBlock);
  ASSERT_TRUE(memory);
  auto store = RecordStore::open(std::move(*memory));
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->store(1, "one again"));
  ASSERT_TRUE((*store)->store(3, text(2000, 'z')));
  (*store)->erase(2);
  const Records expected = {{1, "one again"}, {3, text(2000, 'z')}};
  EXPECT_EQ(contents(**store), expected);
  EXPECT_EQ(open_copy(under_test.memory()).records, expected);
}

TEST(RecordStore, a_wrong_header_is_refused) {
  StoreUnderTest under_test(16 * kBlock);
  ASSERT_TRUE(under_test.store->store(1, "one"));
  const std::string good = under_test.memory();
  for (std::size_t i = 0; i < 28; ++i) {  // every byte of it that means something
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x80);
    EXPECT_NE(open_copy(bad).error, "") << "byte " << i;
  }
  EXPECT_NE(open_copy(good + text(kBlock, '\0')).error, "") << "another size";
  EXPECT_NE(open_copy(good.substr(0, kBlock)).error, "") << "no room for a block";
  EXPECT_NE(open_copy(text(16 * kBlock, 'g')).error, "");
}

TEST(RecordStore, damage_costs_the_damaged_record_only) {
  StoreUnderTest under_test(64 * kBlock);
  Records all;
  for (std::uint64_t key = 1; key <= 8; ++key) {
    all[key] = text(300 * key, static_cast<char>('a' + key));
    ASSERT_TRUE(under_test.store->store(key, all[key]));
  }
  const std::string good = under_test.memory();
  std::mt19937 random(7);
  for (int round = 0; round < 4000; ++round) {
    std::string bad = good;
    const std::size_t place = kBlock + random() % (bad.size() - kBlock);
    bad[place] = static_cast<char>(bad[place] ^ (1 << random() % 8));
    const Found found = open_copy(bad);
    ASSERT_EQ(found.error, "");
    ASSERT_GE(found.records.size(), all.size() - 1) << "byte " << place;
    for (const auto& [key, bytes] : found.records) ASSERT_EQ(bytes, all[key]) << "byte " << place;
  }
}

TEST(RecordStore, random_memory_behind_a_good_header_does_no_harm) {
  StoreUnderTest under_test(64 * kBlock);
  ASSERT_TRUE(under_test.store->store(1, text(63 * 472, 'x')));  // every block was touched
  std::string memory = under_test.memory();
  std::mt19937 random(9);
  for (int round = 0; round < 300; ++round) {
    for (std::size_t i = kBlock; i < memory.size(); ++i) memory[i] = static_cast<char>(random());
    for (std::size_t b = 1; b < 64; ++b) {  // looks like records with plausible chains
      const std::uint32_t record = 0x5245434f;
      const auto next = static_cast<std::uint32_t>(random() % 70);
      const std::uint64_t length = random() % 2000;
      std::memcpy(&memory[b * kBlock], &record, 4);
      std::memcpy(&memory[b * kBlock + 4], &next, 4);
      std::memcpy(&memory[b * kBlock + 32], &length, 8);
    }
    const Found found = open_copy(memory);
    EXPECT_EQ(found.error, "");
    EXPECT_EQ(found.damaged, 63U);
    EXPECT_TRUE(found.records.empty());
    EXPECT_EQ(found.memory_after.substr(kBlock), text(63 * kBlock, '\0'));
  }
}

TEST(RecordStore, behaves_like_a_map) {
  StoreUnderTest under_test(80 * kBlock);
  Records model;
  std::mt19937 random(11);
  for (int step = 0; step < 20000; ++step) {
    const std::uint64_t key = 1 + random() % 12;
    if (random() % 3 == 0) {
      under_test.store->erase(key);
      model.erase(key);
    } else {
      const std::string bytes = text(random() % 5000, static_cast<char>('a' + step % 26));
      if (under_test.store->store(key, bytes)) {
        model[key] = bytes;
      } else {
        model.erase(key);
      }
    }
    if (step % 100 == 0) {
      ASSERT_EQ(contents(*under_test.store), model);
      ASSERT_EQ(open_copy(under_test.memory()).records, model);
    }
  }
}

/// Runs `change` in a child, one instruction at a time, and hands the memory to `check` after
/// every instruction that changed it. Returns how often; -1 when tracing is not allowed here.
int at_every_instruction(const StoreUnderTest& under_test, const std::function<void()>& change,
                         const std::function<void(const std::string&)>& check) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(3);
    raise(SIGSTOP);
    change();
    raise(SIGUSR1);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return -1;
  int changes = 0;
  std::string before = under_test.memory();
  for (;;) {
    if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) break;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) break;
    if (std::memcmp(before.data(), under_test.view.data(), before.size()) == 0) continue;
    before = under_test.memory();
    ++changes;
    check(before);
    if (testing::Test::HasFatalFailure()) break;
  }
  EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR1) << "the change did not finish";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return changes;
}

struct KilledAtEveryInstruction : testing::Test {
  StoreUnderTest under_test{9 * kBlock};  // 8 blocks of data
  const std::string kept = text(900, 'k');
  const std::string old_bytes = text(1000, 'o');
  const std::string new_bytes = text(1300, 'n');

  void SetUp() override {
    ASSERT_TRUE(under_test.store->store(1, kept));
    ASSERT_TRUE(under_test.store->store(2, old_bytes));
  }
  /// Every state on the way holds record 1 and, under key 2, one of `allowed` ("" = nothing),
  /// and no byte of anything else once a new process has opened it.
  void expect_all_along(const std::function<void()>& change,
                        const std::vector<std::string>& allowed, int changes_min) {
    const int changes = at_every_instruction(under_test, change, [&](const std::string& memory) {
      const Found found = open_copy(memory);
      ASSERT_EQ(found.error, "");
      ASSERT_EQ(found.damaged, 0U);
      ASSERT_EQ(found.records.at(1), kept);
      const std::string value = found.records.contains(2) ? found.records.at(2) : "";
      ASSERT_THAT(allowed, testing::Contains(value));
      if (value != old_bytes) {
        ASSERT_EQ(found.memory_after.find("oooo"), std::string::npos);
      }
      if (value != new_bytes) {
        ASSERT_EQ(found.memory_after.find("nnnn"), std::string::npos);
      }
    });
    if (changes == -1) GTEST_SKIP() << "ptrace is not permitted here";
    EXPECT_GE(changes, changes_min);
  }
};

TEST_F(KilledAtEveryInstruction, a_replaced_record_is_the_old_or_the_new_one) {
  expect_all_along([&] { under_test.store->store(2, new_bytes); }, {old_bytes, new_bytes}, 20);
}

TEST_F(KilledAtEveryInstruction, a_new_record_is_there_or_not) {
  expect_all_along([&] { under_test.store->store(3, "third"); }, {old_bytes}, 4);
}

TEST_F(KilledAtEveryInstruction, an_erased_record_is_there_or_not) {
  expect_all_along([&] { under_test.store->erase(2); }, {old_bytes, ""}, 10);
}

TEST_F(KilledAtEveryInstruction, a_record_that_needs_the_room_of_its_predecessor) {
  ASSERT_TRUE(under_test.store->store(4, text(900, 'f')));
  expect_all_along([&] { under_test.store->store(2, new_bytes); }, {old_bytes, "", new_bytes}, 20);
}

TEST(RecordStore, a_new_store_survives_a_death_at_every_instruction_of_its_making) {
  auto memory = SharedMemory::create("records", 9 * kBlock);
  ASSERT_TRUE(memory);
  StoreUnderTest other(9 * kBlock);  // only lends its view
  auto shared = SharedMemory::adopt(fcntl(memory->fd(), F_DUPFD_CLOEXEC, 0), 9 * kBlock);
  ASSERT_TRUE(shared);
  other.view = std::move(*shared);
  const int changes = at_every_instruction(
      other, [&] { const auto opened = RecordStore::open(std::move(*memory)); },
      [&](const std::string& now) { ASSERT_EQ(open_copy(now).error, ""); });
  if (changes == -1) GTEST_SKIP() << "ptrace is not permitted here";
  EXPECT_GE(changes, 3);
}

TEST(RecordStoreDeathTest, key_0_is_a_broken_invariant) {
  StoreUnderTest under_test(9 * kBlock);
  EXPECT_DEATH(under_test.store->store(0, "x"), "broken invariant");
}

}  // namespace
}  // namespace turnpike
