"""The balance of a ledger transaction is checked once at commit, however many lines it has.

The first guard summed the whole transaction once for every line, which for the settlement of ten thousand assets is the
square of thirty thousand. Now each statement that adds lines notes which transactions it touched, and the note, not the
line, carries the deferred check. Accounts become as unchangeable as the lines in them.
"""

from django.db import migrations

FORWARD = """
DROP TRIGGER ledger_balanced ON aggregator_ledgerentry;

CREATE TABLE aggregator_ledgercheck (transaction_id bigint NOT NULL);

CREATE FUNCTION ledger_note_touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO aggregator_ledgercheck SELECT DISTINCT transaction_id FROM added;
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_touched AFTER INSERT ON aggregator_ledgerentry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_touched();

CREATE OR REPLACE FUNCTION ledger_transaction_balances() RETURNS trigger LANGUAGE plpgsql AS $$
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
    DELETE FROM aggregator_ledgercheck WHERE transaction_id = NEW.transaction_id;
    RETURN NULL;
END $$;

-- checked at commit, when all lines of the transaction are there
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON aggregator_ledgercheck
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_transaction_balances();

CREATE TRIGGER ledger_account_append_only BEFORE UPDATE OR DELETE ON aggregator_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
"""

BACKWARD = """
DROP TRIGGER ledger_account_append_only ON aggregator_ledgeraccount;
DROP TRIGGER ledger_touched ON aggregator_ledgerentry;
DROP TABLE aggregator_ledgercheck;
DROP FUNCTION ledger_note_touched;
CREATE OR REPLACE FUNCTION ledger_transaction_balances() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON aggregator_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_transaction_balances();
"""


class Migration(migrations.Migration):
    dependencies = [("aggregator", "0003_ledger_guards")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
