"""The Trainer of transformers, watched by a callback."""

import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from gradcheck_health.transformers import GradientHealthCallback

torch.manual_seed(0)
model = BertForSequenceClassification(
    BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
)
data = [{"input_ids": row, "labels": row.sum() % 2} for row in torch.randint(0, 50, (64, 6))]
health = GradientHealthCallback(every_n_steps=10, on_sick=lambda finding: print(finding.rule))

with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=folder, max_steps=20, learning_rate=1e-12, report_to=[], save_strategy="no", disable_tqdm=True
    )
    Trainer(model=model, args=arguments, train_dataset=data, callbacks=[health]).train()
print(health.report)
