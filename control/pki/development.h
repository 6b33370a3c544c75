// A certificate authority and certificates for development, trials and tests.
// Is not: a production authority. Its key lies beside what it signs.
#pragma once

#include <string>
#include <vector>

#include "control/pki/certificate.h"

namespace turnpike::pki {

struct DevelopmentOptions {
  std::string directory;
  /// DNS names and IP addresses of the edge; the first DNS name is the certificates' main name.
  std::vector<std::string> names;
  /// Further identities with both purposes, for peers: file name and its DNS names.
  struct Peer {
    std::string name;
    std::vector<std::string> dns_names;
  };
  std::vector<Peer> peers;
  /// Group that may read the private keys of the edge (mode 0640 instead of 0600); "" = none.
  std::string key_group;
};

struct DevelopmentFiles {
  std::vector<std::string> made;  ///< names of files that were made or renewed
  std::vector<std::string> kept;
};

/// Makes in `directory` (made if missing, mode 0700 or, with a key group, 0750):
///   ca.pem ca.key                 the authority (EC P-256, ten years)
///   server.pem server.key         for clients (serverAuth), all `names`, 397 days
///   traversal.pem traversal.key   for peers (serverAuth and clientAuth), all `names`
///   NAME.pem NAME.key             for each peer (both purposes)
/// Keeps what is there and still right: same authority, names and purposes, valid for 30 days or
/// more. Renews the rest with the same key. Refuses to replace a file that this authority did not
/// sign, or to sign with an authority that is not one of ours.
Result<DevelopmentFiles> make_development_pki(const DevelopmentOptions& options, WallTime now);

struct ZonePkiOptions {
  std::string directory;
  /// File names and the names in the certificates, of every node of the zone.
  std::vector<DevelopmentOptions::Peer> nodes;
};

/// What the nodes of one zone need, by the same rules:
///   ca.pem ca.key       the zone's own authority
///   NAME.pem NAME.key   for each node (both purposes)
///   password            64 random hexadecimal digits, mode 0600; kept when it is there
Result<DevelopmentFiles> make_zone_pki(const ZonePkiOptions& options, WallTime now);

}  // namespace turnpike::pki
