"""The database keeps the books: every transaction balances in every unit, and no row is ever changed."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION ledger_transaction_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unbalanced record;
BEGIN
    SELECT account.unit, sum(entry.amount) AS total INTO unbalanced
    FROM aggregator_ledgerentry entry
    JOIN aggregator_ledgeraccount account ON account.id = entry.account_id
    WHERE entry.transaction_id = NEW.transaction_id
    GROUP BY account.unit HAVING sum(entry.amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % does not balance: % % left over',
            NEW.transaction_id, unbalanced.total, unbalanced.unit USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

-- checked at commit, when all lines of the transaction are there
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON aggregator_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_transaction_balances();

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: book a correction instead' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE ON aggregator_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER ledger_transaction_append_only BEFORE UPDATE OR DELETE ON aggregator_ledgertransaction
    FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
"""

BACKWARD = """
DROP TRIGGER ledger_transaction_append_only ON aggregator_ledgertransaction;
DROP TRIGGER ledger_entry_append_only ON aggregator_ledgerentry;
DROP TRIGGER ledger_balanced ON aggregator_ledgerentry;
DROP FUNCTION ledger_is_append_only;
DROP FUNCTION ledger_transaction_balances;
"""


class Migration(migrations.Migration):
    dependencies = [("aggregator", "0002_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
