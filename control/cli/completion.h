// What a shell needs to complete a command line, made from the table that makes --help too.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

namespace turnpike::cli {

/// A script for "bash" or "zsh", to be sourced or put where the shell finds it. Commands, options
/// and the words that an option takes are completed; what names a file is left to the shell.
/// Unset: another shell.
std::optional<std::string> completion(const CLI::App& app, std::string_view shell);

}  // namespace turnpike::cli
