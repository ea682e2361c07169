#!/bin/sh
# Writes runs to /tmp/golden with an earlier version of the program, for this directory.
# usage: make.sh PROGRAM
set -eu
program=$1
mkdir /tmp/golden
cd /tmp/golden
export LC_ALL=C.UTF-8 OMP_NUM_THREADS=1

# A tokenizer of 1.4 KB: SentencePiece's table of normalisations, 238 KB, is taken out.
python3 - <<'END'
import random
random.seed(1)
words = [chr(97 + i) + chr(97 + j) + "o" for i in range(12) for j in range(12)]
with open("text.txt", "w") as text:
    for _ in range(100):
        print(" ".join(random.choice(words) for _ in range(20)), file=text)
END
"$program" prepare --lines --input text.txt --vocab-size 100 --output whole
python3 - <<'END'
def varint(data, i):
    number = shift = 0
    while True:
        number |= (data[i] & 127) << shift
        shift, i = shift + 7, i + 1
        if data[i - 1] < 128:
            return number, i

def fields(data):  # tag, value, the field's bytes
    i = 0
    while i < len(data):
        begin, value = i, None
        tag, i = varint(data, i)
        if tag & 7 == 0:
            _, i = varint(data, i)
        elif tag & 7 == 5:
            i += 4
        else:
            size, i = varint(data, i)
            value, i = data[i:i + size], i + size
        yield tag, value, data[begin:i]

normalizer_spec, name, precompiled_charsmap = 3 << 3 | 2, 1 << 3 | 2, 2 << 3 | 2
small = b""
for tag, value, field in fields(open("whole/tokenizer.model", "rb").read()):
    if tag == normalizer_spec:
        kept = bytes([name, 8]) + b"identity" + b"".join(
            f for t, _, f in fields(value) if t not in (name, precompiled_charsmap))
        field = bytes([normalizer_spec, len(kept)]) + kept
    small += field
open("spiece.model", "wb").write(small)
END
"$program" prepare --lines --input text.txt --tokenizer spiece.model --output data

cat >golden.textproto <<'END'
# proto-file: proto/run.proto
# proto-message: switchyard.RunConfig
model { d_model: 8 d_ff: 8 num_heads: 2 num_layers: 2 dropout_rate: 0.1 }
moe { num_experts: 4 z_loss_coef: 0.001 }
parallel { virtual_ranks: 4 }
data { train: "data" input_length: 24 }
optimizer { min_dim_size_to_factor: 8 warmup_steps: 2 learning_rate: 0.1 gradient_clipping: 1 }
train { batch_size: 8 steps: 3 log_interval: 1 eval_interval: 0 eval_samples: 1 tensorboard: false }
checkpoint { interval: 0 keep_last: 1 }
END
train="train --config golden.textproto"
"$program" $train --output adafactor
"$program" $train --output adamw --set optimizer.name=ADAMW optimizer.learning_rate=0.01 \
  optimizer.schedule=COSINE optimizer.decay_steps=20
mpirun --oversubscribe --bind-to none -n 2 "$program" $train --output replicas \
  --set parallel.expert_replicas=2 train.accumulation_steps=2 train.label_smoothing=0.1
"$program" $train --output there --set train.steps=0 train.seed=2
"$program" export there --output hf
cp spiece.model hf/spiece.model
sed -i 's/"expert_capacity": .*,/"expert_capacity": 64,/
        s/"router_aux_loss_coef": .*,/"router_aux_loss_coef": 0.001,/
        s/^{/{\n  "transformers_version": "4.25.1",/' hf/config.json
"$program" import hf --set parallel.virtual_ranks=4 --output imported
cp -r imported imported_trained
"$program" $train --output imported_trained

# The next two steps as the same program computes them.
for run in adafactor adamw replicas imported imported_trained; do
  steps=5
  if [ $run = imported ]; then steps=2; fi
  rm -f $run/lock
  cp -r $run copy
  "$program" train --output copy \
    --set data.train=data data.input_length=24 train.log_interval=1 train.steps=$steps
  python3 - $run <<'END' >>expected.jsonl
import json, sys
records = [json.loads(line) for line in open("copy/metrics.jsonl")][-2:]
steps = [{key: record[key] for key in ("step", "loss", "norm")} for record in records]
print(json.dumps({"run": sys.argv[1], "steps": steps}))
END
  rm -r copy
done
rm -r there hf whole text.txt spiece.model
