// Layout of the memory: a header, then blocks of 512 bytes. A record is a chain of blocks; the
// first one carries the key, the length and the checksum, and its `state` word makes the record
// exist. Which blocks are free is not written down: it is what no record uses.
//
//   | header | block 0 | block 1 | ...     block: | state next key sequence checksum length | data
//   |
#include "relay/io/record_store.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <unordered_map>

#include "relay/core/bytes.h"
#include "relay/core/check.h"

namespace turnpike {
namespace {

constexpr std::uint64_t kMagic = 0x3144524f43455254;
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kNone = ~std::uint32_t{0};

enum BlockState : std::uint32_t { kFree = 0, kRecord = 0x5245434f };

struct Block {
  std::uint32_t state;
  std::uint32_t next;  // the chain ends by length, not by a mark
  std::uint64_t key;
  std::uint64_t sequence;  // of two records under one key the later one counts
  std::uint64_t checksum;
  std::uint64_t length;
  char data[472];
};
static_assert(sizeof(Block) == 512);

struct Header {
  std::uint64_t magic;  // written last
  std::uint32_t version;
  std::uint32_t block_count;
  std::uint64_t checksum;        // of version and block_count
  std::uint32_t blocks_touched;  // blocks from here on were never written: not even looked at
  char reserved[484];
};
static_assert(sizeof(Header) == sizeof(Block));

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9fb21c651e98df25ULL;
  return hash ^ (hash >> 32);
}

std::uint64_t mix_bytes(std::uint64_t hash, const char* data, std::size_t size) {
  for (; size >= 8; data += 8, size -= 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    hash = mix(hash, word);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, data, size);
  return mix(hash, rest ^ (std::uint64_t{size} << 56));
}

std::uint64_t checksum_of(const Header& header) {
  return mix(mix(kMagic, header.version), header.block_count);
}

std::size_t blocks_for(std::size_t bytes) {
  return std::max<std::size_t>(1, (bytes + sizeof Block::data - 1) / sizeof Block::data);
}

// An exchange, because what was written before may not come after it, nor the reverse: this is
// the order that a crash sees.
template <typename Word>
void publish(Word& word, Word value) {
  std::atomic_ref(word).exchange(value, std::memory_order_acq_rel);
}

void set_state(Block& block, std::uint32_t state) {
  publish(block.state, state);
}

}  // namespace

struct RecordStore::State {
  explicit State(SharedMemory shared) : memory(std::move(shared)) {}

  Header& header() const { return *static_cast<Header*>(static_cast<void*>(memory.data())); }
  Block& block(std::uint32_t i) const {
    return static_cast<Block*>(static_cast<void*>(memory.data() + sizeof(Header)))[i];
  }

  Result<void> open();
  void format(std::uint32_t block_count);
  std::uint64_t checksum_of_record(const Block& head) const;
  bool chain_of(std::uint32_t first, std::vector<std::uint32_t>& chain) const;
  void recover();
  std::size_t room() const;
  std::uint32_t allocate();
  void write(std::uint64_t key, std::string_view bytes);
  void remove(std::uint32_t first);
  std::string read(std::uint32_t first) const;

  SharedMemory memory;
  std::unordered_map<std::uint64_t, std::uint32_t> head_by_key;
  std::vector<std::uint32_t> free;  // of the blocks that were touched
  std::uint64_t sequence = 0;
  std::size_t damaged = 0;
};

Result<void> RecordStore::State::open() {
  if (memory.size() < sizeof(Header) + sizeof(Block)) {
    return Error{"record store: " + std::to_string(memory.size()) + " bytes are too few"};
  }
  const std::size_t fitting = (memory.size() - sizeof(Header)) / sizeof(Block);
  const auto block_count = static_cast<std::uint32_t>(std::min<std::size_t>(fitting, kNone - 1));
  const Header& present = header();
  if (present.magic == 0) {
    format(block_count);
    return {};
  }
  if (present.magic != kMagic || present.version != kVersion) {
    return Error{"record store: written by another version"};
  }
  if (present.checksum != checksum_of(present) || present.block_count != block_count ||
      present.blocks_touched > block_count) {
    return Error{"record store: its header is damaged"};
  }
  recover();
  return {};
}

void RecordStore::State::format(std::uint32_t block_count) {
  Header& fresh = header();
  fresh.version = kVersion;
  fresh.block_count = block_count;
  fresh.blocks_touched = 0;
  fresh.checksum = checksum_of(fresh);
  publish(fresh.magic, kMagic);
}

// The blocks of the record that begins at `first`. False when the chain does not add up.
bool RecordStore::State::chain_of(std::uint32_t first, std::vector<std::uint32_t>& chain) const {
  chain.clear();
  const std::uint32_t touched = header().blocks_touched;
  const std::uint64_t length = block(first).length;
  if (length > std::uint64_t{touched} * sizeof Block::data) return false;
  std::uint32_t i = first;
  for (std::size_t left = blocks_for(length); left > 0; --left) {
    if (i >= touched) return false;
    chain.push_back(i);
    i = block(i).next;
  }
  return true;
}

std::uint64_t RecordStore::State::checksum_of_record(const Block& head) const {
  std::uint64_t hash = mix(mix(mix(kMagic, head.key), head.sequence), head.length);
  const Block* part = &head;
  for (std::uint64_t left = head.length; left > 0;) {
    const std::size_t size = std::min<std::uint64_t>(left, sizeof part->data);
    hash = mix_bytes(hash, part->data, size);
    left -= size;
    if (left == 0) break;
    hash = mix(hash, part->next);
    part = &block(part->next);
  }
  return hash;
}

// Finds the records that are there, and wipes everything else: what was damaged, what was being
// written, what was being erased, what was replaced.
void RecordStore::State::recover() {
  const std::uint32_t touched = header().blocks_touched;
  std::vector<bool> used(touched);
  std::vector<std::uint32_t> chain;
  std::vector<std::uint32_t> replaced;
  for (std::uint32_t i = 0; i < touched; ++i) {
    Block& head = block(i);
    if (head.state == kFree) continue;
    const bool whole = head.state == kRecord && head.key != 0 && chain_of(i, chain) &&
                       head.checksum == checksum_of_record(head) &&
                       std::none_of(chain.begin(), chain.end(), [&](auto b) { return used[b]; });
    if (!whole) {
      ++damaged;
      continue;
    }
    for (const std::uint32_t b : chain) used[b] = true;
    sequence = std::max(sequence, head.sequence);
    const auto [known, is_new] = head_by_key.try_emplace(head.key, i);
    if (is_new) continue;
    const bool later = head.sequence > block(known->second).sequence;
    replaced.push_back(later ? known->second : i);
    if (later) known->second = i;
  }
  for (const std::uint32_t i : replaced) {
    chain_of(i, chain);
    set_state(block(i), kFree);  // before any part of it goes, should we die half-way
    for (const std::uint32_t b : chain) used[b] = false;
  }
  for (std::uint32_t i = 0; i < touched; ++i) {
    if (used[i]) continue;
    set_state(block(i), kFree);
    secure_wipe(&block(i), sizeof(Block));
    free.push_back(i);
  }
}

std::size_t RecordStore::State::room() const {
  return free.size() + (header().block_count - header().blocks_touched);
}

std::uint32_t RecordStore::State::allocate() {
  if (!free.empty()) {
    const std::uint32_t i = free.back();
    free.pop_back();
    return i;
  }
  const std::uint32_t i = header().blocks_touched;
  CHECK(i < header().block_count);
  publish(header().blocks_touched, i + 1);
  return i;
}

void RecordStore::State::write(std::uint64_t key, std::string_view bytes) {
  const std::uint32_t first = allocate();
  Block& head = block(first);
  head.key = key;
  head.sequence = ++sequence;
  head.length = bytes.size();
  Block* part = &head;
  for (;;) {
    const std::size_t size = std::min(bytes.size(), sizeof part->data);
    std::memcpy(part->data, bytes.data(), size);
    bytes.remove_prefix(size);
    if (bytes.empty()) break;
    part->next = allocate();
    part = &block(part->next);
  }
  head.checksum = checksum_of_record(head);
  set_state(head, kRecord);
  head_by_key[key] = first;
}

void RecordStore::State::remove(std::uint32_t first) {
  std::vector<std::uint32_t> chain;
  CHECK(chain_of(first, chain));
  set_state(block(first), kFree);
  for (const std::uint32_t i : chain) {
    secure_wipe(&block(i), sizeof(Block));
    free.push_back(i);
  }
}

std::string RecordStore::State::read(std::uint32_t first) const {
  std::string bytes;
  const Block* part = &block(first);
  const std::uint64_t length = part->length;
  bytes.reserve(length);
  for (;;) {
    bytes.append(part->data, std::min<std::size_t>(length - bytes.size(), sizeof part->data));
    if (bytes.size() == length) return bytes;
    part = &block(part->next);
  }
}

Result<std::unique_ptr<RecordStore>> RecordStore::open(SharedMemory memory) {
  auto state = std::make_unique<State>(std::move(memory));
  if (auto opened = state->open(); !opened) return opened.error();
  return std::unique_ptr<RecordStore>(new RecordStore(std::move(state)));
}

RecordStore::RecordStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
RecordStore::~RecordStore() = default;

bool RecordStore::store(std::uint64_t key, std::string_view bytes) {
  CHECK(key != 0);
  State& s = *state_;
  const std::size_t needed = blocks_for(bytes.size());
  // The old record goes after the new one is there, unless there is no room for both.
  if (s.room() < needed) erase(key);
  if (s.room() < needed) return false;
  const auto old = s.head_by_key.find(key);
  const std::uint32_t old_head = old == s.head_by_key.end() ? kNone : old->second;
  s.write(key, bytes);
  if (old_head != kNone) s.remove(old_head);
  return true;
}

void RecordStore::erase(std::uint64_t key) {
  const auto known = state_->head_by_key.find(key);
  if (known == state_->head_by_key.end()) return;
  state_->remove(known->second);
  state_->head_by_key.erase(known);
}

std::vector<std::pair<std::uint64_t, std::string>> RecordStore::all() const {
  std::vector<std::pair<std::uint64_t, std::string>> records;
  records.reserve(state_->head_by_key.size());
  for (const auto& [key, head] : state_->head_by_key) records.emplace_back(key, state_->read(head));
  return records;
}

std::size_t RecordStore::damaged() const {
  return state_->damaged;
}
int RecordStore::fd() const {
  return state_->memory.fd();
}

}  // namespace turnpike
