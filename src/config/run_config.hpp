// From files and `--set` to one RunConfig, back to text, and the difference of two. Parses and
// merges only: whether the values make sense is validate.hpp's business.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "run.pb.h"

namespace switchyard {

// Files merge in order, then each of `sets` ("model.d_model=128"): the last one wins, a repeated
// field replaces the earlier one. A file that is not there is looked for among the shipped
// configurations by name ("tiny"), first beside the program and then in it. What depends on other
// options is filled in: model.d_kv, model.num_decoder_layers. Throws Error(missing_input), or
// Error(usage) with file:line:column or the assignment, and the nearest name where one is unknown.
RunConfig load_config(std::span<const std::string> files, std::span<const std::string> sets);

// One RunConfig from text; `name` stands in error messages.
RunConfig parse_config(const std::string& text, const std::string& name);

// Every option with the value in effect, defaults written out; options that are unset and have no
// default are left out. Parsing it gives the same configuration again.
std::string resolved_text(const RunConfig& config);

// "model.d_model: 128 -> 256" for every difference.
std::vector<std::string> changed_fields(const RunConfig& before, const RunConfig& after);
// The same for the fields that a resumed run may not change.
std::vector<std::string> changed_fixed_fields(const RunConfig& before, const RunConfig& after);

// Names of the configurations that ship with the program, sorted.
std::vector<std::string> shipped_configs();

// Merges one "path=value" into `config`. A string needs no quotes, an enum value may be lower case,
// a list is separated by commas.
void set_option(google::protobuf::Message& config, const std::string& assignment);

// MergeFrom, except that a list in `from` replaces the one in `into`.
void merge_config(const google::protobuf::Message& from, google::protobuf::Message& into);

}  // namespace switchyard
