#!/usr/bin/env bash
# Makes the runs of format 0 with the code of commit a0861e8, the last without a format_version.
# In a checkout of that commit at /srv/missrec, whose path their configs hold: bash make.sh
# It is here to say how they came to be: nobody needs to run it again.
set -euo pipefail
cd /srv/missrec
PYTHON="${PYTHON:-.venv/bin/python}"
export WANDB_MODE=offline OMP_NUM_THREADS=1 PYTHONPATH=tests/app

COMMON=(datamodule.batch_size=64 trainer.enable_progress_bar=false '~callbacks.progress_bar'
  trainer.accelerator=cpu logger=csv model.embed_dim=8)
OFFICE=(data.sources.demo_office.num_users=60 data.sources.demo_office.num_items=40)
SOURCES=()
for domain in kitchen garden music; do
  SOURCES+=("data.sources.demo_$domain.num_users=40" "data.sources.demo_$domain.num_items=25")
done
NETWORK=model.network.block.feedforward_dim=16 # MISSRec's
ENCODER=model.encoder.block.feedforward_dim=16 # that of the baselines
CODES=("$ENCODER" model.items.coding.quantizer.num_codebooks=4
  model.items.coding.quantizer.num_codewords=8 model.items.coding.quantizer.num_rotations=2)
BY_STEPS=(callbacks.latest.train_time_interval=null callbacks.latest.every_n_train_steps=2)
FEW='pretraining_overrides=["trainer.max_epochs=1","~callbacks.progress_bar","trainer.enable_progress_bar=false"]'

train() { "$PYTHON" src/train.py "$@"; }
into() { echo "hydra.run.dir=/srv/missrec/logs/$1"; }
# Ends a command the hard way once a file exists.
killed_at() {
  local file="$1"
  shift
  "$@" &
  local pid=$!
  while kill -0 $pid 2>/dev/null && ! compgen -G "$file" >/dev/null; do sleep 0.02; done
  kill -KILL $pid
  wait $pid || true
}

demo=(experiment=demo "${COMMON[@]}" "${OFFICE[@]}" trainer.max_epochs=2)
train "${demo[@]}" "$NETWORK" "$(into demo/missrec_s1)"
train "${demo[@]}" "$NETWORK" seed=2 "$(into demo/missrec_s2)"
train "${demo[@]}" model=sasrec "$ENCODER" "$(into demo/sasrec_s1)"
train "${demo[@]}" model=s3rec "$ENCODER" "$FEW" "$(into demo/s3rec_s1)"
train "${demo[@]}" model=sasrec "$ENCODER" trainer.max_epochs=3 "${BY_STEPS[@]}" "$(into demo/killed)" \
  +callbacks.kill._target_=kill_at_step.KillAtStep +callbacks.kill.step=9 || true
# As if the machine had done it.
sed -i '/^  kill:$/,/^    step: 9$/d' logs/demo/killed/config.yaml

pretrain=(experiment=pretrain "${COMMON[@]}" "${SOURCES[@]}" trainer.max_epochs=1)
finetune=(experiment=finetune "${COMMON[@]}" "${OFFICE[@]}" trainer.max_epochs=2 transfer=transductive)
train "${pretrain[@]}" "$NETWORK" "$(into pretrain/missrec)"
train "${finetune[@]}" "$NETWORK" pretrained=/srv/missrec/logs/pretrain/missrec "$(into finetune/missrec)"
train "${pretrain[@]}" model=vqrec "${CODES[@]}" "$(into pretrain/vqrec)"
train "${finetune[@]}" model=vqrec transfer=inductive "${CODES[@]}" "$FEW" \
  pretrained=/srv/missrec/logs/pretrain/vqrec "$(into finetune/vqrec)"

killed_at 'logs/sweeps/demo-*/1_*/checkpoints/latest.ckpt' \
  "$PYTHON" src/train.py -m "${demo[@]}" "$NETWORK" "${BY_STEPS[@]}" seed=1,2
killed_at 'logs/tune/kept/trial_0001/checkpoints/latest.ckpt' \
  "$PYTHON" src/tune.py "${demo[@]}" "$NETWORK" "${BY_STEPS[@]}" search.study=kept \
  'search.space={optimizer.lr:{choices:[0.001,0.01]}}'

# Pictures are large, and nothing reads them.
find logs -name '*.png' -delete
