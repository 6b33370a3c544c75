// Reads the files that an operator names.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace turnpike::config {

struct UnreadableFile {
  bool out_of_reach = false;  ///< not there, or not for this account; else wrong in itself
  std::string reason;  ///< "No such file or directory", "it is a directory", "it is larger than …"
};

/// The whole of a regular file. Anything else (a directory, a FIFO that nobody writes to, a device
/// without end) is refused without waiting, as is what is larger than `bytes_max`. On failure
/// `unreadable` tells why and the text is empty.
bool read_regular_file(const std::string& path, std::size_t bytes_max, std::string& text,
                       UnreadableFile& unreadable);

/// As above; a file that every account of this host may read or write is refused too. `what` is in
/// it: "these tokens".
bool read_private_file(const std::string& path, std::size_t bytes_max, std::string_view what,
                       std::string& text, UnreadableFile& unreadable);

}  // namespace turnpike::config
