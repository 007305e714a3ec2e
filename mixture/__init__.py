"""Phase 2's own: what is trained on (plan, data), a model with a head per task, its trainer, dev scores, the job."""
