// dataset.textproto: conversion between the protobuf message and the plain struct that the program
// uses.
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "base/error.hpp"
#include "data/dataset.hpp"
#include "data/text_format_error.hpp"
#include "dataset.pb.h"

namespace switchyard {

namespace {

constexpr std::int32_t format_version = 1;

Error damaged(const std::string& path, const std::string& reason) {
  return Error(ExitCode::damaged_data, path + ": " + reason, "prepare the data again");
}

void write_split(const SplitInfo& split, DatasetInfo::Split& message) {
  message.set_documents(split.summary.documents);
  message.set_tokens(split.summary.tokens);
  message.set_bin_sha256(split.summary.bin_sha256);
  message.set_idx_sha256(split.summary.idx_sha256);
  message.set_source(split.source);
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

SplitInfo read_split(const DatasetInfo::Split& message, const std::string& path) {
  SplitInfo split;
  split.summary.documents = message.documents();
  split.summary.tokens = message.tokens();
  split.summary.bin_sha256 = message.bin_sha256();
  split.summary.idx_sha256 = message.idx_sha256();
  split.source = message.source();
  if (!is_sha256(split.summary.bin_sha256) || !is_sha256(split.summary.idx_sha256))
    throw damaged(path, "a split lacks its SHA-256");
  return split;
}

}  // namespace

std::string to_text(const DatasetManifest& manifest) {
  DatasetInfo info;
  info.set_format_version(format_version);
  info.set_pieces(manifest.vocabulary.pieces);
  info.set_sentinels(Vocabulary::sentinels);
  info.set_vocab_size(manifest.vocabulary.rows());
  info.set_tokenizer_sha256(manifest.tokenizer_sha256);
  write_split(manifest.train, *info.mutable_train());
  write_split(manifest.validation, *info.mutable_validation());
  std::string text;
  google::protobuf::TextFormat::PrintToString(info, &text);
  return "# proto-file: dataset.proto\n# proto-message: switchyard.DatasetInfo\n" + text;
}

DatasetManifest parse_manifest(const std::string& text, const std::string& path) {
  DatasetInfo info;
  TextFormatError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(text, &info))
    throw Error(ExitCode::damaged_data, path + ":" + error.text(), "prepare the data again");
  if (info.format_version() > format_version)
    throw Error(ExitCode::mismatch,
                path + " has format version " + std::to_string(info.format_version()) +
                    ", this program reads up to " + std::to_string(format_version),
                "use a newer switchyard or prepare the data again");

  DatasetManifest manifest;
  manifest.vocabulary.pieces = info.pieces();
  constexpr std::int32_t most_pieces = 1 << 30;  // so that rows() cannot overflow
  if (info.format_version() < 1 || info.pieces() <= Vocabulary::unknown ||
      info.pieces() > most_pieces || info.sentinels() != Vocabulary::sentinels ||
      info.vocab_size() != manifest.vocabulary.rows())
    throw damaged(path, "its version and vocabulary do not make sense");
  manifest.tokenizer_sha256 = info.tokenizer_sha256();
  if (!is_sha256(manifest.tokenizer_sha256))
    throw damaged(path, "it lacks the tokenizer's SHA-256");
  manifest.train = read_split(info.train(), path);
  manifest.validation = read_split(info.validation(), path);
  return manifest;
}

}  // namespace switchyard
