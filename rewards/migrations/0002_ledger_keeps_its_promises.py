from django.db import migrations

# Transactions, postings, versions of documents and proofs are what was: nobody changes them, not
# even with a database console, and there is no way around. These triggers run once per statement
# and also when it would meet no row.
FIX_HISTORY = """
CREATE FUNCTION rewards_history_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER transaction_is_fixed BEFORE UPDATE OR DELETE OR TRUNCATE
    ON rewards_ledgertransaction FOR EACH STATEMENT EXECUTE FUNCTION rewards_history_is_fixed();
CREATE TRIGGER posting_is_fixed BEFORE UPDATE OR DELETE OR TRUNCATE
    ON rewards_posting FOR EACH STATEMENT EXECUTE FUNCTION rewards_history_is_fixed();
CREATE TRIGGER proof_is_fixed BEFORE UPDATE OR DELETE OR TRUNCATE
    ON rewards_proof FOR EACH STATEMENT EXECUTE FUNCTION rewards_history_is_fixed();
CREATE TRIGGER document_version_is_fixed BEFORE UPDATE OR DELETE OR TRUNCATE
    ON rewards_documentversion FOR EACH STATEMENT EXECUTE FUNCTION rewards_history_is_fixed();
CREATE TRIGGER published_rule_is_fixed BEFORE UPDATE OR DELETE
    ON rewards_ruleversion FOR EACH ROW WHEN (OLD.published_at IS NOT NULL)
    EXECUTE FUNCTION rewards_history_is_fixed();
CREATE TRIGGER rule_versions_stay BEFORE TRUNCATE
    ON rewards_ruleversion FOR EACH STATEMENT EXECUTE FUNCTION rewards_history_is_fixed();
"""
UNFIX_HISTORY = """
DROP TRIGGER rule_versions_stay ON rewards_ruleversion;
DROP TRIGGER published_rule_is_fixed ON rewards_ruleversion;
DROP TRIGGER document_version_is_fixed ON rewards_documentversion;
DROP TRIGGER proof_is_fixed ON rewards_proof;
DROP TRIGGER posting_is_fixed ON rewards_posting;
DROP TRIGGER transaction_is_fixed ON rewards_ledgertransaction;
DROP FUNCTION rewards_history_is_fixed();
"""

# Postings keep the number of their account, so an account is never deleted and never becomes
# another one; only what it holds changes.
FIX_ACCOUNTS = """
CREATE FUNCTION rewards_account_is_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'of an account only the balances change'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER account_is_fixed
    BEFORE UPDATE OF id, tenant_id, currency_id, kind, player_id, reference OR DELETE OR TRUNCATE
    ON rewards_account FOR EACH STATEMENT EXECUTE FUNCTION rewards_account_is_fixed();

CREATE FUNCTION rewards_accounts_stay_in_their_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added
        JOIN rewards_currency AS currency ON currency.id = added.currency_id
        LEFT JOIN players_player AS player ON player.id = added.player_id
        WHERE currency.tenant_id <> added.tenant_id OR player.tenant_id <> added.tenant_id
    ) THEN
        RAISE EXCEPTION 'an account, its currency and its player belong to one tenant'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'account_of_one_tenant';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER account_of_one_tenant AFTER INSERT ON rewards_account
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION rewards_accounts_stay_in_their_tenant();

-- Balances are written again and again: room in their pages keeps new versions of a row beside
-- the old one.
ALTER TABLE rewards_account SET (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05
);
"""
UNFIX_ACCOUNTS = """
ALTER TABLE rewards_account RESET (
    fillfactor, autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor
);
DROP TRIGGER account_of_one_tenant ON rewards_account;
DROP FUNCTION rewards_accounts_stay_in_their_tenant();
DROP TRIGGER account_is_fixed ON rewards_account;
DROP FUNCTION rewards_account_is_fixed();
"""

# A transaction and all its postings come in one statement, at whose end both tables are complete:
# so two checks of sets replace one of every row at commit. That a transaction has at least two
# postings follows: they are not zero, and their sum is.
#
# The plans of these statements are kept by the connection. Made while a table was small they would
# read the whole of it later, so they are held to look up by index.
KEEP_BALANCE = """
CREATE FUNCTION rewards_transactions_have_postings() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added WHERE NOT EXISTS (
            SELECT FROM rewards_posting AS posting WHERE posting.transaction_id = added.id
        )
    ) THEN
        RAISE EXCEPTION 'a transaction comes with its postings'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transaction_has_postings';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER transaction_has_postings AFTER INSERT ON rewards_ledgertransaction
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION rewards_transactions_have_postings();

CREATE FUNCTION rewards_postings_balance() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    broken uuid;
BEGIN
    SELECT added.transaction_id INTO broken
    FROM added
    LEFT JOIN rewards_account AS account ON account.id = added.account_id
    LEFT JOIN rewards_ledgertransaction AS entry ON entry.id = added.transaction_id
    GROUP BY added.transaction_id, account.currency_id
    HAVING sum(added.amount) <> 0 OR bool_or(
        entry.id IS NULL OR account.id IS NULL
        OR account.tenant_id <> entry.tenant_id
        OR added.created_at <> entry.created_at
        OR (account.player_id IS NOT NULL AND account.player_id IS DISTINCT FROM entry.player_id)
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction % is not balanced', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transaction_is_balanced',
            DETAIL = 'Its postings sum to zero per currency, at its time, on accounts of its'
                ' tenant and of no other player.';
    END IF;
    SELECT posted.transaction_id INTO broken
    FROM (SELECT transaction_id, count(*) AS lines FROM added GROUP BY transaction_id) AS posted
    WHERE posted.lines <> (
        SELECT count(*) FROM rewards_posting AS posting
        WHERE posting.transaction_id = posted.transaction_id
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction % is complete', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transaction_is_complete';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER postings_balance AFTER INSERT ON rewards_posting
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION rewards_postings_balance();
"""
FORGET_BALANCE = """
DROP TRIGGER postings_balance ON rewards_posting;
DROP FUNCTION rewards_postings_balance();
DROP TRIGGER transaction_has_postings ON rewards_ledgertransaction;
DROP FUNCTION rewards_transactions_have_postings();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('rewards', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL(FIX_HISTORY, UNFIX_HISTORY),
        migrations.RunSQL(FIX_ACCOUNTS, UNFIX_ACCOUNTS),
        migrations.RunSQL(KEEP_BALANCE, FORGET_BALANCE),
    ]
