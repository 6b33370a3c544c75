// The SIP sidecar: configuration files of a stock Kamailio, made from our one configuration.
// Hides: every line of Kamailio's languages. Is not: the process; whoever runs it points it at
// DIR/kamailio.cfg.
#pragma once

#include <string>
#include <vector>

#include "control/sidecar/sip_config.h"
#include "turnpike/result.h"

namespace turnpike::sidecar {

/// A file below the sidecar's directory.
struct GeneratedFile {
  std::string path;  ///< relative: "kamailio.cfg", "db/subscriber"
  std::string contents;
};

/// All files for `config` as they would be written below `directory` (absolute). `signing_key`
/// makes route sets of calls that were let in recognisable: 64 hexadecimal digits, kept over
/// restarts. Fails with the first of check()'s mistakes.
Result<std::vector<GeneratedFile>> generate(const SipConfig& config, const std::string& directory,
                                            const std::string& signing_key);

/// Writes the files of generate() below `directory`: made if missing with mode 0750, files 0640,
/// each replaced as a whole. Group is that of `config.run_user` if it exists and we may change it.
/// Keeps DIR/signing_key when there is a sound one, else makes it. A directory that holds files but
/// was not written by us is refused. Does not touch files that it did not generate.
Result<void> write_sidecar(const SipConfig& config, const std::string& directory);

}  // namespace turnpike::sidecar
