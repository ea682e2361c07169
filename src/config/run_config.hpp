// From configuration files and `--set` to one RunConfig, back to text, and the difference of two.
// It only parses and merges; whether the values make sense is checked in config/validate.hpp.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "run.pb.h"

namespace switchyard {

// Merges files in order, then each of `sets` ("model.d_model=128"). Later values win, and a
// repeated field replaces the earlier list. A file that does not exist is looked up by name among
// the shipped configurations ("tiny"), first beside the program and then inside it. Options whose
// default depends on others are filled in: model.d_kv, model.num_decoder_layers. Throws
// Error(missing_input), or Error(usage) with file:line:column or the assignment, and the nearest
// known name for an unknown one.
RunConfig load_config(std::span<const std::string> files, std::span<const std::string> sets);

// Parses one RunConfig; `name` stands for the text in error messages.
RunConfig parse_config(const std::string& text, const std::string& name);

// Every option with its effective value, defaults included; options that are unset and have no
// default are omitted. Parsing the text gives the same configuration again.
std::string resolved_text(const RunConfig& config);

// "model.d_model: 128 -> 256" for every option that differs.
std::vector<std::string> changed_fields(const RunConfig& before, const RunConfig& after);
// The same, for the options that a resumed run may not change.
std::vector<std::string> changed_fixed_fields(const RunConfig& before, const RunConfig& after);

// Names of the configurations that ship with the program, sorted.
std::vector<std::string> shipped_configs();

// Merges one "path=value" into `config`. Strings need no quotes, enum values may be lower case, and
// list elements are separated by commas.
void set_option(google::protobuf::Message& config, const std::string& assignment);

// Like MergeFrom, except that a list in `from` replaces the one in `into`.
void merge_config(const google::protobuf::Message& from, google::protobuf::Message& into);

}  // namespace switchyard
