-- Take guards and operations away again; the triggers go with their functions.
ALTER TABLE credits_account DROP CONSTRAINT credits_account_last_entry;
ALTER TABLE credits_entry
    DROP CONSTRAINT credits_entry_follows_previous,
    DROP CONSTRAINT credits_entry_names_its_hold;
DROP FUNCTION credits_refuse CASCADE;
DROP FUNCTION credits_instant CASCADE;
DROP FUNCTION credits_append_only CASCADE;
DROP FUNCTION credits_account_starts_empty CASCADE;
DROP FUNCTION credits_account_opens CASCADE;
DROP FUNCTION credits_account_moves_with_entry CASCADE;
DROP FUNCTION credits_reservation_starts_held CASCADE;
DROP FUNCTION credits_reservation_holds CASCADE;
DROP FUNCTION credits_reservation_moves_with_entry CASCADE;
DROP FUNCTION credits_entry_check_hold CASCADE;
DROP FUNCTION credits_entry_fill CASCADE;
DROP FUNCTION credits_entry_moves_account CASCADE;
DROP FUNCTION credits_lock_account CASCADE;
DROP FUNCTION credits_free CASCADE;
DROP FUNCTION credits_expire_overdue CASCADE;
DROP FUNCTION credits_refuse_insufficient CASCADE;
DROP FUNCTION credits_find_reservation CASCADE;
DROP FUNCTION credits_refuse_resolved CASCADE;
DROP FUNCTION credits_open_account CASCADE;
DROP FUNCTION credits_grant CASCADE;
DROP FUNCTION credits_reserve CASCADE;
DROP FUNCTION credits_renew CASCADE;
DROP FUNCTION credits_commit_reservation CASCADE;
DROP FUNCTION credits_release_reservation CASCADE;
DROP FUNCTION credits_extend_reservation CASCADE;
DROP FUNCTION credits_expire_reservation CASCADE;
