#include "config/validate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.hpp"
#include "config/option_fields.hpp"
#include "config/run_config.hpp"

namespace switchyard {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

// The error of validate() for the defaults with these changes; "" if they are valid.
std::string complaint(const Strings& sets, int processes = 1) {
  const RunConfig config = load_config({}, sets);
  try {
    validate(config, processes);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(Validate, AcceptsTheDefaultsAndWhatShips) {
  EXPECT_EQ(complaint({}), "");
  for (const std::string& name : shipped_configs()) {
    EXPECT_NO_THROW(validate(load_config(Strings{name}, {}), 1)) << name;
  }
}

TEST(Validate, AcceptsTheEdges) {
  for (const char* set :
       {"moe.num_experts=0", "moe.min_capacity=0", "moe.encoder_sparse_step=0", "moe.jitter_eps=0",
        "model.dropout_rate=0", "train.eval_interval=0", "checkpoint.interval=0",
        "moe.capacity_factor=0.01", "model.num_heads=1", "data.input_length=512"}) {
    EXPECT_EQ(complaint({set}), "") << set;
  }
  EXPECT_EQ(complaint({"parallel.virtual_ranks=4"}, 4), "");
}

TEST(Validate, NamesTheOptionAndItsValue) {
  for (const char* set : {"model.d_model=0",
                          "model.d_ff=-1",
                          "model.num_heads=0",
                          "model.num_layers=0",
                          "model.vocab_size=0",
                          "model.dropout_rate=1",
                          "model.dropout_rate=-0.5",
                          "model.attention_window=0",
                          "model.global_tokens=-1",
                          "moe.num_experts=-1",
                          "moe.capacity_factor=0",
                          "moe.capacity_factor=-1",
                          "moe.eval_capacity_factor=0",
                          "moe.min_capacity=-1",
                          "moe.aux_loss_coef=-0.01",
                          "moe.z_loss_coef=-1",
                          "moe.jitter_eps=1",
                          "moe.encoder_sparse_step=-1",
                          "moe.router_topk=0",
                          "moe.ntlb_top_k=0",
                          "moe.second_threshold=0",
                          "moe.bias_update_rate=0",
                          "moe.sample_temperature=0",
                          "moe.router_dropout_rate=1",
                          "moe.expert_dropout_rate=-0.5",
                          "parallel.virtual_ranks=0",
                          "parallel.expert_replicas=0",
                          "data.input_length=0",
                          "data.target_length=0",
                          "data.noise_density=0",
                          "data.noise_density=1",
                          "optimizer.learning_rate=0",
                          "optimizer.learning_rate=-1",
                          "optimizer.warmup_steps=0",
                          "optimizer.linear_warmup_steps=-1",
                          "optimizer.decay_steps=0",
                          "optimizer.final_ramp_steps=-1",
                          "optimizer.adam_beta1=1",
                          "optimizer.adam_beta2=-0.5",
                          "optimizer.adam_epsilon=0",
                          "optimizer.weight_decay=-1",
                          "optimizer.momentum=1",
                          "optimizer.gradient_clipping=-1",
                          "train.label_smoothing=1",
                          "train.label_smoothing=-0.1",
                          "train.z_loss=-1",
                          "train.accumulation_steps=0",
                          "train.batch_size=0",
                          "train.steps=-1",
                          "train.log_interval=0",
                          "train.routing_log_interval=0",
                          "train.eval_interval=-1",
                          "train.max_minutes=0",
                          "checkpoint.interval=-1",
                          "checkpoint.keep_last=0"}) {
    const std::string text = set;
    const std::string path = text.substr(0, text.find('='));
    EXPECT_THAT(complaint({text}), HasSubstr(path + " is " + text.substr(path.size() + 1))) << set;
  }
}

TEST(Validate, RefusesSizesThatNoMachineHolds) {
  for (const char* set :
       {"model.d_model=2000000000", "model.d_ff=2147483647", "model.d_kv=2147483647",
        "model.num_layers=2000000000", "moe.num_experts=2000000000", "train.batch_size=2147483640",
        "data.target_length=2147483647", "data.input_length=2147483647"}) {
    const std::string text = set;
    EXPECT_THAT(complaint({text}), HasSubstr(text.substr(0, text.find('=')) + " is 2")) << set;
  }
}

TEST(Validate, AdmitsNoNumberThatIsNotFinite) {
  for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
    if (option.field().cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_DOUBLE) continue;
    for (const char* value : {"nan", "inf", "-inf"}) {
      EXPECT_THAT(complaint({option.path + "=" + value}), HasSubstr(option.path)) << value;
    }
  }
}

TEST(Validate, RefusesContradictions) {
  EXPECT_THAT(complaint({"train.batch_size=30"}),
              AllOf(HasSubstr("train.batch_size (30)"), HasSubstr("parallel.virtual_ranks (8)")));
  EXPECT_THAT(complaint({"train.accumulation_steps=3"}),
              AllOf(HasSubstr("train.batch_size (32)"), HasSubstr("accumulation_steps (3)")));
  EXPECT_EQ(complaint({"train.accumulation_steps=4"}), "");
  EXPECT_THAT(complaint({}, 9), AllOf(HasSubstr("processes (9)"), HasSubstr("virtual_ranks (8)")));
  EXPECT_THAT(complaint({"model.d_model=100", "model.num_heads=3"}),
              AllOf(HasSubstr("model.d_model (100)"), HasSubstr("model.num_heads (3)")));
  EXPECT_EQ(complaint({"model.d_model=100", "model.num_heads=3", "model.d_kv=32"}), "");
}

TEST(Validate, AcceptsEveryRoutingInTheEncoder) {
  for (const char* routing : {"SWITCH", "TOP2", "TOPK", "EXPERT_CHOICE", "SOFT", "HASH", "NTLB"}) {
    EXPECT_EQ(complaint({std::string("moe.routing=") + routing, "moe.decoder_routing=SWITCH"}), "")
        << routing;
  }
}

TEST(Validate, LetsNoDecoderSeeTheFuture) {
  for (const std::string routing : {"EXPERT_CHOICE", "SOFT"}) {
    EXPECT_THAT(complaint({"moe.routing=" + routing}),
                AllOf(HasSubstr("moe.routing " + routing), HasSubstr("future"),
                      HasSubstr("moe.decoder_routing=SWITCH")));
    EXPECT_THAT(complaint({"moe.decoder_routing=" + routing}),
                HasSubstr("moe.decoder_routing " + routing));
    EXPECT_EQ(complaint({"moe.routing=" + routing, "moe.decoder_sparse_step=0"}), "");
    EXPECT_EQ(complaint({"moe.routing=" + routing, "moe.decoder_sparse_step=9"}), "");
    EXPECT_EQ(complaint({"moe.routing=" + routing, "moe.num_experts=0"}), "");
  }
}

TEST(Validate, RefusesWhatARoutingOfWholeRowsHasNotGot) {
  for (const std::string routing : {"EXPERT_CHOICE", "SOFT"}) {
    const std::string encoder = "moe.routing=" + routing, decoder = "moe.decoder_routing=HASH";
    for (const std::string set : {"moe.dropless=true", "moe.exploration=SAMPLE"}) {
      EXPECT_THAT(complaint({encoder, decoder, set}),
                  AllOf(HasSubstr(set.substr(0, set.find('='))), HasSubstr(routing)));
    }
    EXPECT_THAT(complaint({encoder, "moe.decoder_sparse_step=0", "moe.drop_policy=PROBS"}),
                AllOf(HasSubstr("moe.drop_policy is PROBS"), HasSubstr(routing)));
    EXPECT_EQ(complaint({encoder, decoder, "moe.drop_policy=PROBS"}), "");
  }
  EXPECT_THAT(
      complaint({"moe.routing=SOFT", "moe.decoder_routing=HASH", "moe.capacity_factor=1e18"}),
      HasSubstr("slots"));
}

TEST(Validate, RefusesMoreChoicesThanExperts) {
  EXPECT_THAT(complaint({"moe.routing=TOPK", "moe.router_topk=9"}),
              HasSubstr("moe.router_topk is 9; it must be 1 to 8"));
  EXPECT_THAT(complaint({"moe.routing=NTLB", "moe.num_experts=3"}),
              HasSubstr("moe.ntlb_top_k is 4; it must be 1 to 3"));
  EXPECT_THAT(complaint({"moe.decoder_routing=TOP2", "moe.num_experts=1"}),
              AllOf(HasSubstr("moe.num_experts is 1"), HasSubstr("TOP2")));
  EXPECT_EQ(complaint({"moe.routing=TOPK", "moe.router_topk=8"}), "");
  EXPECT_EQ(complaint({"moe.router_topk=9", "moe.num_experts=1"}), "") << "no layer has it";
}

TEST(Validate, RefusesGatesThatTeachNothing) {
  const Strings sets = {"moe.routing=TOPK", "moe.normalize_gates=true"};
  EXPECT_THAT(complaint(sets), HasSubstr("moe.normalize_gates"));
  EXPECT_EQ(complaint({sets[0], sets[1], "moe.router_topk=2"}), "");
}

TEST(Validate, RefusesABiasWhereNobodyChoosesByIt) {
  const std::string bias = "moe.load_balancing=BIAS";
  for (const char* routing : {"EXPERT_CHOICE", "SOFT", "HASH"}) {
    const std::string encoder = std::string("moe.routing=") + routing;
    EXPECT_THAT(complaint({bias, encoder, "moe.decoder_routing=HASH"}),
                HasSubstr("moe.load_balancing is BIAS"));
    EXPECT_EQ(complaint({bias, encoder, "moe.decoder_routing=NTLB"}), "") << routing;
  }
  EXPECT_EQ(complaint({bias}), "");
  EXPECT_EQ(complaint({bias, "moe.num_experts=0"}), "");
  EXPECT_THAT(complaint({bias, "moe.exploration=SAMPLE"}),
              AllOf(HasSubstr("BIAS"), HasSubstr("SAMPLE")));
}

TEST(Validate, RefusesGlobalLoadsThatComeTooLate) {
  const std::string global = "moe.aux_loss_scope=GLOBAL";
  EXPECT_EQ(complaint({global}), "");
  EXPECT_THAT(complaint({global, "train.accumulation_steps=2"}),
              AllOf(HasSubstr("moe.aux_loss_scope"), HasSubstr("train.accumulation_steps is 2")));
  EXPECT_THAT(complaint({global, "moe.routing=HASH"}), HasSubstr("moe.aux_loss_scope is GLOBAL"));
  EXPECT_EQ(complaint({global, "moe.num_experts=0", "train.accumulation_steps=2"}), "");
}

TEST(Validate, RefusesMoreGlobalTokensThanARowHas) {
  const Strings sets = {"data.input_length=64", "model.global_tokens=65"};
  EXPECT_THAT(complaint({sets[0], sets[1], "model.encoder_attention=WINDOW"}),
              AllOf(HasSubstr("model.global_tokens (65)"), HasSubstr("data.input_length (64)")));
  EXPECT_EQ(complaint(sets), "") << "without a window they count for nothing";
  EXPECT_EQ(complaint({sets[0], "model.global_tokens=64", "model.encoder_attention=WINDOW",
                       "model.attention_window=2147483647"}),
            "");
}

TEST(Validate, FilesOfExamplesNeedTheirOwnOptions) {
  const std::string train = "data.train=a.jsonl", length = "data.target_length=7";
  EXPECT_EQ(complaint({train, length}), "");
  EXPECT_EQ(complaint({train, length, "data.validation=b.jsonl", "data.tokenizer=m"}), "");
  EXPECT_EQ(complaint({train, length, "data.input_length=1"}), "") << "no spans are to be hidden";
  EXPECT_THAT(complaint({train}), HasSubstr("data.target_length is not set"));
  for (const char* two_kinds : {"data.validation=data", "data.train=data"}) {
    EXPECT_THAT(complaint({train, length, "data.validation=b.jsonl", two_kinds}),
                HasSubstr("are of two kinds"));
  }
  EXPECT_THAT(complaint({"data.train=data", "data.tokenizer=m"}),
              HasSubstr("data.tokenizer is set, but data.train (data) is prepared data"));
  EXPECT_EQ(complaint({"data.tokenizer=m"}), "") << "as an import may leave it";
}

TEST(Validate, RefusesSchedulesWithoutAnEnd) {
  for (const char* set : {"optimizer.schedule=LINEAR", "optimizer.schedule=COSINE",
                          "optimizer.final_ramp_steps=10"}) {
    EXPECT_THAT(complaint({set}), HasSubstr("optimizer.decay_steps is not set")) << set;
    EXPECT_EQ(complaint({set, "optimizer.decay_steps=100"}), "") << set;
  }
}

TEST(Validate, RefusesSchedulesThatDoNotFitTogether) {
  EXPECT_THAT(complaint({"optimizer.schedule=LINEAR", "optimizer.decay_steps=100",
                         "optimizer.final_ramp_steps=10"}),
              HasSubstr("optimizer.final_ramp_steps is 10"));
  EXPECT_THAT(complaint({"optimizer.schedule=LINEAR", "optimizer.decay_steps=100",
                         "optimizer.linear_warmup_steps=100"}),
              HasSubstr("optimizer.linear_warmup_steps (100)"));
  const Strings ramps = {"optimizer.final_ramp_steps=60", "optimizer.linear_warmup_steps=40"};
  EXPECT_THAT(complaint({ramps[0], ramps[1], "optimizer.decay_steps=99"}),
              HasSubstr("optimizer.decay_steps (99)"));
  EXPECT_EQ(complaint({ramps[0], ramps[1], "optimizer.decay_steps=100"}), "");
}

TEST(Validate, RefusesReplicasThatCannotBeSharedOut) {
  EXPECT_THAT(complaint({"parallel.expert_replicas=3"}),
              AllOf(HasSubstr("expert_replicas (3)"), HasSubstr("virtual_ranks (8)")));
  EXPECT_THAT(complaint({"parallel.expert_replicas=2"}, 3),
              AllOf(HasSubstr("expert_replicas (2)"), HasSubstr("processes (3)")));
  for (const int processes : {1, 2, 4, 6, 8})
    EXPECT_EQ(complaint({"parallel.expert_replicas=2"}, processes), "") << processes;
  for (const int processes : {1, 2, 4, 8})
    EXPECT_EQ(complaint({"parallel.expert_replicas=4"}, processes), "") << processes;
}

TEST(Validate, RefusesMoreSpansThanSentinels) {
  EXPECT_THAT(complaint({"data.input_length=4096"}), HasSubstr("sentinels"));
  EXPECT_EQ(complaint({"data.input_length=4096", "data.mean_noise_span_length=10"}), "");
}

TEST(Validate, TellsAllProblemsAtOnce) {
  EXPECT_THAT(complaint({"model.d_ff=0", "train.steps=-1"}),
              AllOf(HasSubstr("model.d_ff"), HasSubstr("train.steps")));
}

}  // namespace
}  // namespace switchyard
