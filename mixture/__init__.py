"""Phase 2's own: what is trained on (plan, data), the model with a head per task, its trainer, dev scores, and the job
that ties them.
"""
