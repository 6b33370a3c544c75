#include "control/config/accounts.h"

#include <algorithm>

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include "control/config/products.h"

namespace turnpike::config {
namespace {

struct Account {
  uid_t user = 0;
  std::vector<gid_t> groups;
};

bool find_account(const std::string& name, Account& account) {
  const passwd* const entry = ::getpwnam(name.c_str());
  if (entry == nullptr) return false;
  account.user = entry->pw_uid;
  int count = 64;
  account.groups.resize(static_cast<std::size_t>(count));
  while (::getgrouplist(name.c_str(), entry->pw_gid, account.groups.data(), &count) < 0) {
    account.groups.resize(static_cast<std::size_t>(count));
  }
  account.groups.resize(static_cast<std::size_t>(count));
  return true;
}

/// `right` is a bit of the mode as for others: S_IROTH or S_IXOTH.
bool may(const Account& account, const struct stat& status, mode_t right) {
  if (account.user == 0) return true;
  if (status.st_uid == account.user) return (status.st_mode & (right << 6)) != 0;
  const auto& groups = account.groups;
  const bool member = std::find(groups.begin(), groups.end(), status.st_gid) != groups.end();
  return (status.st_mode & (member ? right << 3 : right)) != 0;
}

/// The file, or the folder on the way to it, that the account may not use; "" when all is well.
std::string obstacle(const Account& account, const std::string& path) {
  struct stat status {};
  for (std::size_t slash = 0; (slash = path.find('/', slash)) != std::string::npos; ++slash) {
    const std::string folder = path.substr(0, std::max<std::size_t>(slash, 1));
    if (::stat(folder.c_str(), &status) == 0 && !may(account, status, S_IXOTH)) return folder;
  }
  return ::stat(path.c_str(), &status) == 0 && !may(account, status, S_IROTH) ? path : "";
}

bool group_exists(const std::string& name) {
  return name.empty() || name.find_first_not_of("0123456789") == std::string::npos ||
         ::getgrnam(name.c_str()) != nullptr;
}

}  // namespace

void check_accounts(const Settings& settings, Findings& findings) {
  const auto check_group = [&findings](const std::string& key, const std::string& group) {
    if (group_exists(group)) return;
    findings.mistake({key}, key + ": there is no group \"" + group +
                                "\" on this host; create it or name another");
  };
  if (!settings.ng.unix_path.empty()) check_group("ng.unix_group", settings.ng.unix_group);
  if (!settings.api.unix_path.empty()) check_group("api.unix_group", settings.api.unix_group);
  if (!wants_sidecar(settings)) return;
  const std::string& user = settings.sip.run_user;
  if (::getpwnam(user.c_str()) == nullptr) {
    findings.warning({"sip.run_user", "sip"},
                     "sip.run_user: there is no account \"" + user +
                         "\" on this host; install the SIP server or name its account");
  }
}

std::vector<std::string> key_access_warnings(const Settings& settings) {
  std::vector<std::string> warnings;
  if (!wants_sidecar(settings)) return warnings;
  const SipSection& sip = settings.sip;
  std::vector<std::string> keys{sip.private_key_file};
  if (!sip.peer_private_key_file.empty()) keys.push_back(sip.peer_private_key_file);
  for (const auto& sni : sip.sni_certificates) keys.push_back(sni.private_key_file);
  const auto add = [&keys](const sidecar::TlsIdentity& identity) {
    if (!identity.private_key_file.empty()) keys.push_back(identity.private_key_file);
  };
  for (const auto& group : sip.servers) add(group.identity);
  for (const auto& peer : sip.peers) add(peer.identity);
  Account account;
  const bool known = find_account(sip.run_user, account);
  for (const std::string& key : keys) {
    struct stat status {};
    if (::stat(key.c_str(), &status) != 0) continue;
    if ((status.st_mode & S_IROTH) != 0) {
      warnings.push_back(key +
                         ": every account of this host may read this private key; chmod 0640");
    }
    const std::string where = known ? obstacle(account, key) : "";
    if (where.empty()) continue;
    warnings.push_back(key + ": the SIP server's account " + sip.run_user +
                       " cannot read this private key" +
                       (where == key ? "; chgrp " + sip.run_user + " and chmod 0640"
                                     : ", because it may not enter " + where));
  }
  return warnings;
}

}  // namespace turnpike::config
