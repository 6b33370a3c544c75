// The fuzz harnesses linked into fuzz_replay, by name. The table itself is generated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

struct Harness {
  const char* name;  // "bencode_fuzz"; its seeds lie in corpus/bencode
  int (*run)(const std::uint8_t* data, std::size_t size);
};

const std::vector<Harness>& harness_table();
