// What the other node may say of shared flows. Any bytes are taken or refused; what is taken has
// one form.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "control/pair/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string message;
  for (std::size_t i = 0; i < size; ++i) message += static_cast<char>(data[i]);
  const auto offer = turnpike::pair::read_offer(message);
  const auto numbers = turnpike::pair::read_numbers(message);
  if (offer && numbers) std::abort();
  if (offer && turnpike::pair::write(*offer) != message) std::abort();
  if (numbers && turnpike::pair::write(*numbers) != message) std::abort();
  return 0;
}
