"""One file per method: the paper's algorithm in ordinary Python over the verbs. No method imports another, and none
sees gold of pool or test."""
