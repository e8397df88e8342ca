"""A candidate is compared with the champion on captured traffic: the same rows, both answers, the labels that came."""
