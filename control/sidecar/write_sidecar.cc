// Files on disk: whole or not at all, and readable by the SIP server's account only.
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/sidecar/layout.h"
#include "control/sidecar/sidecar.h"

namespace turnpike::sidecar {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKeyFile = "signing_key";
constexpr std::size_t kKeyDigits = 64;
constexpr const char* kNoPlainPath =
    "the sidecar's directory must be an absolute path of letters, digits and / . _ + -";

Error system_error(const std::string& what, const std::string& path) {
  return Error{what + " " + path + ": " + std::strerror(errno)};
}

/// Group of the SIP server's account; none where the account does not exist.
std::optional<gid_t> group_of(const std::string& user) {
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr) return std::nullopt;
  return entry->pw_gid;
}

std::string parent_of(const std::string& directory) {
  fs::path path(directory);
  if (!path.has_filename()) path = path.parent_path();
  return path.parent_path().string();
}

/// What is written here is read, and in parts run, by root: nobody else may be able to replace it.
Result<void> expect_protected(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return system_error("cannot look at", path);
  }
  if (!S_ISDIR(status.st_mode)) {
    return Error{path + " is not a directory; remove it or choose another place"};
  }
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    return Error{path +
                 " belongs to another account, which could replace what is written there; "
                 "give it to root (chown root) or choose another place"};
  }
  const bool others_write = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if (others_write && (status.st_mode & S_ISVTX) == 0) {
    return Error{path +
                 " may be written to by other accounts, which could replace what is written "
                 "there; protect it (chmod go-w) or choose another place"};
  }
  return {};
}

class Writer {
 public:
  Writer(std::string directory, std::optional<gid_t> group)
      : directory_(std::move(directory)), group_(group) {}

  Result<void> make_directory(const std::string& path) const {
    if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) {
      return system_error("cannot make", path);
    }
    if (auto safe = expect_protected(path); !safe) return safe;
    if (::chmod(path.c_str(), 0750) != 0) return system_error("cannot protect", path);
    give_to_group(path);
    return {};
  }

  Result<void> write(const std::string& name, const std::string& contents) const {
    const std::string path = directory_ + "/" + name;
    const std::string part = path + ".part";
    ::unlink(part.c_str());
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) return system_error("cannot write", part);
    const bool owned =
        !group_ || ::geteuid() != 0 || ::fchown(fd, static_cast<uid_t>(-1), *group_) == 0;
    const bool whole =
        owned && ::fchmod(fd, 0640) == 0 && write_all(fd, contents) && ::fsync(fd) == 0;
    const int saved = errno;
    ::close(fd);
    if (whole && ::rename(part.c_str(), path.c_str()) == 0) return {};
    if (!whole) errno = saved;
    Error error = system_error("cannot write", path);
    ::unlink(part.c_str());
    return error;
  }

 private:
  void give_to_group(const std::string& path) const {
    if (!group_ || ::geteuid() != 0) return;
    // Without the group the SIP server cannot read it and says so at once.
    if (::chown(path.c_str(), static_cast<uid_t>(-1), *group_) != 0) return;
  }

  static bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  std::string directory_;
  std::optional<gid_t> group_;
};

/// Empty, missing, or made by an earlier run.
bool is_ours(const std::string& directory) {
  std::error_code ignored;
  if (!fs::exists(directory, ignored) || fs::is_empty(directory, ignored)) return true;
  return fs::exists(directory + "/" + kKeyFile, ignored);
}

Result<std::string> signing_key(const std::string& directory) {
  std::ifstream file(directory + "/" + kKeyFile);
  std::string kept;
  if (file >> kept && is_hex(kept, kKeyDigits)) return kept;

  std::array<unsigned char, kKeyDigits / 2> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return Error{"no random bytes for the sidecar's signing key"};
  }
  constexpr char kHex[] = "0123456789abcdef";
  std::string key;
  for (const unsigned char byte : bytes) {
    key += kHex[byte >> 4];
    key += kHex[byte & 15];
  }
  return key;
}

}  // namespace

Result<std::vector<GeneratedFile>> generate(const SipConfig& config, const std::string& directory,
                                            const std::string& signing_key) {
  const auto mistakes = check(config);
  if (!mistakes.empty()) return Error{mistakes.front().key + " " + mistakes.front().message};
  if (!is_plain_path(directory)) return Error{kNoPlainPath};
  if (!is_hex(signing_key, kKeyDigits)) return Error{"the sidecar's signing key is damaged"};
  std::vector<GeneratedFile> files = {
      {"routes.cfg", std::string(routes_cfg())},
      {"media.cfg", std::string(media_cfg())},
      {"site.cfg", site_cfg(config)},
      {"dispatcher.list", dispatcher_list(config)},
      {"nftables.conf", firewall_rules(config)},
  };
  if (has_browsers(config)) {
    files.push_back({"websocket.cfg", std::string(websocket_cfg())});
  }
  if (has_tls(config)) files.push_back({"tls.cfg", tls_cfg(config)});
  if (is_of_pair(config)) files.push_back({"zone.cfg", std::string(zone_cfg())});
  if (has_registrar(config)) {
    files.push_back({"db/version", "table_name(string) table_version(int)\nsubscriber:7\n"});
    files.push_back({"db/subscriber", subscriber_table(config)});
  }
  // Last: whoever watches this file finds the others in place.
  files.push_back({"kamailio.cfg", kamailio_cfg(config, directory, signing_key)});
  return files;
}

Result<void> write_sidecar(const SipConfig& config, const std::string& directory) {
  if (!is_plain_path(directory)) return Error{kNoPlainPath};
  for (const std::string& path : {parent_of(directory), directory, directory + "/db"}) {
    if (auto safe = expect_protected(path); !safe) return safe;
  }
  if (!is_ours(directory)) {
    return Error{directory + " holds files that turnpiked did not write; choose another directory"};
  }
  auto key = signing_key(directory);
  if (!key) return key.error();
  auto files = generate(config, directory, *key);
  if (!files) return files.error();

  const Writer writer(directory, group_of(config.run_user));
  if (auto made = writer.make_directory(directory); !made) return made;
  if (auto kept = writer.write(kKeyFile, *key + "\n"); !kept) return kept;
  if (has_registrar(config)) {
    if (auto made = writer.make_directory(directory + "/db"); !made) return made;
  }
  for (const GeneratedFile& file : *files) {
    if (auto written = writer.write(file.path, file.contents); !written) return written;
  }
  return {};
}

}  // namespace turnpike::sidecar
