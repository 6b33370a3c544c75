#include "bench/load/source_address.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <netinet/in.h>

namespace turnpike::bench {

void SourceAddress::put(msghdr& header, std::uint32_t ip) {
  static_assert(CMSG_SPACE(sizeof(in_pktinfo)) == sizeof control_);
  if (ip == 0) return;
  header.msg_control = control_.data();
  header.msg_controllen = control_.size();
  cmsghdr* const control = CMSG_FIRSTHDR(&header);
  control->cmsg_level = IPPROTO_IP;
  control->cmsg_type = IP_PKTINFO;
  control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
  in_pktinfo info{};
  info.ipi_spec_dst.s_addr = ip;
  std::memcpy(CMSG_DATA(control), &info, sizeof info);
}

void tell_destinations(int fd) {
  const int on = 1;
  if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0) return;
  std::perror("turnpike_load: IP_PKTINFO");
  std::exit(1);
}

std::uint32_t destination_of(msghdr& header) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != IPPROTO_IP || control->cmsg_type != IP_PKTINFO) continue;
    in_pktinfo info{};
    std::memcpy(&info, CMSG_DATA(control), sizeof info);
    return info.ipi_addr.s_addr;
  }
  return 0;
}

}  // namespace turnpike::bench
