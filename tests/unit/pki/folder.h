// A temporary folder, and openssl(1) in it: certificates that our own code would never make.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/pki/certificate.h"

namespace turnpike::pki {

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/turnpike-pki-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    home_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  std::string path(const std::string& name) const { return home_ + "/" + name; }

  void openssl(const std::string& arguments) const {
    const std::string command = "cd " + home_ + " && openssl " + arguments + " 2>openssl.log";
    ASSERT_EQ(std::system(command.c_str()), 0) << command << "\n" << read("openssl.log");
  }
  /// NAME.pem and NAME.key, self-signed. `key`: for -newkey; `extensions`: -addext options.
  void self_signed(const std::string& name, const std::string& key, const std::string& extensions,
                   int days = 100) const {
    openssl("req -x509 -newkey " + key + " -nodes -keyout " + name + ".key -out " + name +
            ".pem -days " + std::to_string(days) + " -subj /CN=" + name + ".example.com " +
            extensions);
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  unsigned mode(const std::string& name) const {
    struct stat status {};
    return ::lstat(path(name).c_str(), &status) == 0 ? status.st_mode & 07777U : 0U;
  }

  std::string home_;
};

/// Later than every certificate that the tests make.
inline const WallTime kNow = std::chrono::system_clock::now() + std::chrono::hours{1};
constexpr std::chrono::hours kDay{24};
constexpr const char* kEc = "ec -pkeyopt ec_paramgen_curve:P-256";

}  // namespace turnpike::pki
