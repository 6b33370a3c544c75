// The file of tokens that admit to the API, and what else [api] names on disk.
#pragma once

#include <string>
#include <vector>

#include "control/api/gate.h"
#include "control/config/settings.h"
#include "control/pki/certificate.h"
#include "turnpike/result.h"

namespace turnpike::config {

/// One token a line: "NAME SCOPE TOKEN", SCOPE `read` or `operate`; empty lines and those that
/// begin with # are passed over. Fails, with the number of the line and without any token, when the
/// file is missing or readable by everybody, a line is of another form, a token is shorter than 24
/// characters or there already.
Result<std::vector<api::Token>> read_tokens_file(const std::string& path);

/// What is wrong with the files of [api], as the daemon would find at start. Empty without
/// api.listen.
pki::Judgement judge_api_files(const ApiSection& api);

}  // namespace turnpike::config
