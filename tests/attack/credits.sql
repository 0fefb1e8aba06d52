-- Statements against credits, beside those of tests/integration/credits/attacks: each is about a
-- guard that stands behind another. The form is that of builds.sql.

-- credits_account_next_seq > credits_account_balance_not_negative: a balance below nothing
UPDATE credits_account SET balance = -1, reserved = -1, issued = 0, charged = 1
 WHERE id = %(account)s;
-- credits_account_next_seq > credits_account_last_seq_not_negative: an entry before the first
UPDATE credits_account SET last_seq = -1 WHERE id = %(account)s;
-- credits_account_next_seq > credits_account_reserved_in_balance: less than nothing is held
UPDATE credits_account SET reserved = -5 WHERE id = %(account)s;
-- credits_account_next_seq > credits_account_books_cancel: more was charged than was taken
UPDATE credits_account SET charged = charged + 1 WHERE id = %(account)s;
-- credits_account_next_seq > credits_account_last_entry: credits from nowhere
UPDATE credits_account SET balance = balance + 9, issued = issued + 9 WHERE id = %(account)s;

-- credits_entry_append_only > credits_entry_amount_in_range: a grant was larger than any may be
UPDATE credits_entry SET balance_delta = 1000000000001 WHERE account_id = %(account)s AND seq = 1;
-- credits_entry_append_only > credits_entry_balance_adds_up: an entry ends elsewhere
UPDATE credits_entry SET balance_after = balance_after + 1 WHERE account_id = %(account)s AND seq = 1;
-- credits_entry_append_only > credits_entry_reserved_adds_up: an entry holds more
UPDATE credits_entry SET reserved_after = reserved_after + 1 WHERE account_id = %(account)s AND seq = 1;
-- credits_entry_append_only > credits_entry_books_cancel: an entry gives from no book
UPDATE credits_entry SET issued_delta = issued_delta + 1 WHERE account_id = %(account)s AND seq = 1;
-- credits_entry_append_only > credits_entry_within_bounds: an entry holds less than nothing
UPDATE credits_entry SET reserved_after = -1 WHERE account_id = %(account)s AND seq = 1;
-- credits_entry_append_only > credits_entry_open_is_first: an account opens later
UPDATE credits_entry SET seq = 99 WHERE account_id = %(account)s AND seq = 0;
-- credits_entry_append_only > credits_entry_kind_moves_its_books: a grant becomes a gift
UPDATE credits_entry SET kind = 'gift' WHERE account_id = %(account)s AND seq = 1;

-- credits_reservation_identity_fixed > credits_reservation_amount_in_range: a hold of nothing
UPDATE credits_reservation SET amount = 0 WHERE id = %(held)s;
-- credits_reservation_moves_with_entry > credits_reservation_state_known: a hold is paused
UPDATE credits_reservation SET state = 'paused', resolved_at = now() WHERE id = %(held)s;
-- credits_reservation_resolves_once > credits_reservation_charged_agrees: a charge of less than nothing
UPDATE credits_reservation SET charged = -1 WHERE id = %(committed)s;
-- credits_reservation_resolves_once > credits_reservation_resolved_at_agrees: resolved at no time
UPDATE credits_reservation SET resolved_at = NULL WHERE id = %(released)s;
-- credits_reservation_expiry_moves_on > credits_reservation_expires_later: a hold ends as it starts
UPDATE credits_reservation SET expires_at = created_at WHERE id = %(held)s;

-- credits_package_has_credits: a package of nothing
UPDATE credits_package SET credits = 0;
-- credits_package_price_not_negative: a package that pays its buyer
UPDATE credits_package SET price = -1;
-- credits_package_currency_is_iso: a package for other money
UPDATE credits_package SET currency = 'eur';
-- credits_package_code_key: a package twice
INSERT INTO credits_package (code, name, price, currency, credits, is_active)
SELECT code, name, price, currency, credits, is_active FROM credits_package;
