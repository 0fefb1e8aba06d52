-- Statements against lots, draws, freezes and statements of the ledger, as in credits.sql.

-- credits_account_next_seq > credits_account_books_cancel: less than nothing has lapsed
UPDATE credits_account SET lapsed = -5, issued = issued - 5 WHERE id = %(account)s;
-- credits_entry_append_only > credits_entry_grant_has_terms: a grant without terms
UPDATE credits_entry SET priority = NULL WHERE account_id = %(account)s AND seq = 1;
-- credits_entry_append_only > credits_entry_original_named: a grant undoes another entry
UPDATE credits_entry SET original_seq = 0 WHERE account_id = %(account)s AND seq = 1;
-- credits_draw_append_only > credits_draw_moves: a draw of nothing
UPDATE credits_draw SET amount = 0;
-- credits_lot_identity_fixed > credits_lot_amount_positive: a lot of nothing
UPDATE credits_lot SET amount = 0, remaining = 0 WHERE account_id = %(account)s;
-- credits_lot_moves_with_draw > credits_lot_remaining_in_range: a lot with more than it had
UPDATE credits_lot SET remaining = amount + 1 WHERE account_id = %(account)s;
-- credits_freeze_lifted_by_somebody: a freeze is lifted by nobody
UPDATE credits_freeze SET lifted_at = now() WHERE id = %(freeze)s;
-- credits_statement_append_only > credits_statement_books_cancel: a statement does not add up
UPDATE credits_statement SET balance = balance + 1;
-- credits_statement_append_only > credits_statement_follows_previous: a statement follows none
UPDATE credits_statement SET number = 7;
-- credits_reservation_expiry_moves_on > credits_reservation_life_bounded: a hold that ends never
UPDATE credits_reservation SET expires_at = 'infinity' WHERE id = %(overdue)s;
