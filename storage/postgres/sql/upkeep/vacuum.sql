-- What was claimed stands at the head of the line until it is vacuumed, and each claim walks over it.
VACUUM (SKIP_LOCKED, TRUNCATE FALSE) callboard.ready, callboard.running, callboard.counts, callboard.due
