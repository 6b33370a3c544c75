// Which library of ciphers stands behind SRTP.
#include "relay/crypto/srtp_backend.h"

namespace turnpike {

std::unique_ptr<SrtpBackend> make_srtp_backend(SrtpLibrary library, std::size_t cache_slots) {
  switch (library) {
    case SrtpLibrary::kIpsecMb:
      return make_ipsec_mb_backend(cache_slots);
    case SrtpLibrary::kOpenssl:
      return make_evp_backend(cache_slots);
    case SrtpLibrary::kLibsrtp2:
      return make_libsrtp2_backend(cache_slots);
    case SrtpLibrary::kAuto:
      break;
  }
  return make_srtp_backend(best_srtp_library(), cache_slots);
}

bool srtp_library_available(SrtpLibrary library) {
  return make_srtp_backend(library, 1) != nullptr;
}

SrtpLibrary best_srtp_library() {
  static const bool has_lanes = srtp_library_available(SrtpLibrary::kIpsecMb);
  return has_lanes ? SrtpLibrary::kIpsecMb : SrtpLibrary::kOpenssl;
}

std::string_view name_of(SrtpLibrary library) {
  switch (library) {
    case SrtpLibrary::kAuto:
      return "auto";
    case SrtpLibrary::kIpsecMb:
      return "ipsec-mb";
    case SrtpLibrary::kOpenssl:
      return "openssl";
    case SrtpLibrary::kLibsrtp2:
      return "libsrtp2";
  }
  return "unknown";
}

}  // namespace turnpike
