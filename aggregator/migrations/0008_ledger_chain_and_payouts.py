"""Every booking is sealed at commit with a hash over itself and the seal before; payouts leave in batches."""

import django.db.models.deletion
from django.db import migrations, models


DIGEST = """
CREATE FUNCTION ledger_digest(wanted bigint, previous text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(concat_ws(E'\\n', previous, jsonb_build_array(
        booked.id::text, booked.idempotency_key, booked.kind,
        to_char(booked.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        to_char(booked.booked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        booked.description, coalesce(booked.grid_event_id::text, ''), coalesce(booked.lease_id::text, ''),
        coalesce(booked.market_award_id::text, '')
    )::text, (
        SELECT string_agg(jsonb_build_array(
            entry.id::text, account.kind, account.party, account.unit, entry.amount::text,
            coalesce(entry.asset_id::text, '')
        )::text, E'\\n' ORDER BY entry.id)
        FROM aggregator_ledgerentry entry JOIN aggregator_ledgeraccount account ON account.id = entry.account_id
        WHERE entry.transaction_id = booked.id
    )), 'UTF8')), 'hex')
    FROM aggregator_ledgertransaction booked WHERE booked.id = wanted
$$;
"""

SEAL = """
CREATE FUNCTION ledger_seal(wanted bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    head record;
BEGIN
    -- held until the commit is done: the next booking sees this one's seal or waits for it
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger chain', 2));
    IF EXISTS (SELECT FROM aggregator_ledgerseal WHERE transaction_id = wanted) THEN
        RAISE EXCEPTION 'ledger transaction % is sealed: book a correction instead', wanted
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT position, sha256 INTO head FROM aggregator_ledgerseal ORDER BY position DESC LIMIT 1;
    INSERT INTO aggregator_ledgerseal (position, transaction_id, previous_sha256, sha256) VALUES (
        coalesce(head.position, 0) + 1, wanted, coalesce(head.sha256, ''),
        ledger_digest(wanted, coalesce(head.sha256, ''))
    );
END $$;

-- what was booked before there was a chain
DO $$
DECLARE
    booked record;
BEGIN
    FOR booked IN SELECT id FROM aggregator_ledgertransaction ORDER BY id LOOP
        PERFORM ledger_seal(booked.id);
    END LOOP;
END $$;

CREATE TRIGGER ledger_seal_append_only BEFORE UPDATE OR DELETE ON aggregator_ledgerseal
    FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
"""

BALANCE = """
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
    {after}
    RETURN NULL;
END $$;
"""
# lines that came in several statements left several notes: the first that is looked at deletes them all and seals
SEALING = "IF FOUND THEN PERFORM ledger_seal(NEW.transaction_id); END IF;"
FORWARD = DIGEST + SEAL + BALANCE.replace("{after}", SEALING)
BACKWARD = BALANCE.replace("{after}", "") + """
DROP TRIGGER ledger_seal_append_only ON aggregator_ledgerseal;
DROP FUNCTION ledger_seal;
DROP FUNCTION ledger_digest;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('aggregator', '0007_fairness_and_presence'),
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerVerification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('length', models.BigIntegerField()),
                ('head_sha256', models.CharField(max_length=64)),
                ('faults', models.JSONField(default=list)),
            ],
            options={
                'ordering': [models.OrderBy(models.F('at'), descending=True)],
            },
        ),
        migrations.CreateModel(
            name='PayoutBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('idempotency_key', models.CharField(max_length=60, unique=True)),
                ('currency', models.CharField(max_length=3)),
                ('made_at', models.DateTimeField()),
                ('execution_date', models.DateField()),
                ('total', models.DecimalField(decimal_places=6, max_digits=20)),
                ('message', models.BinaryField(help_text='ISO 20022 pain.001, once it was made', null=True)),
                ('message_sha256', models.CharField(blank=True, max_length=64)),
            ],
            options={
                'ordering': [models.OrderBy(models.F('made_at'), descending=True)],
            },
        ),
        migrations.AlterField(
            model_name='ledgeraccount',
            name='kind',
            field=models.CharField(choices=[('grid_operator', 'Grid operator'), ('tenant', 'Tenant of computing'), ('owner', 'Owner'), ('platform', "The platform's own revenue"), ('bank', 'What left by the bank'), ('energy_source', 'Assets as source of energy'), ('energy_grid', 'Energy delivered to the grid operator'), ('carbon_source', 'Avoided emissions'), ('carbon_account', 'Emissions account of a party')], max_length=16),
        ),
        migrations.CreateModel(
            name='LedgerSeal',
            fields=[
                ('position', models.BigIntegerField(primary_key=True, serialize=False)),
                ('previous_sha256', models.CharField(max_length=64)),
                ('sha256', models.CharField(max_length=64)),
                ('transaction', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='seal', to='aggregator.ledgertransaction')),
            ],
            options={
                'ordering': [models.OrderBy(models.F('position'))],
            },
        ),
        migrations.CreateModel(
            name='PayoutAccount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('party', models.CharField(help_text='owner identity', max_length=120, unique=True)),
                ('holder_name', models.CharField(max_length=70)),
                ('iban', models.CharField(blank=True, max_length=34)),
                ('bic', models.CharField(blank=True, max_length=11)),
                ('bank_code', models.CharField(blank=True, max_length=10)),
                ('branch_code', models.CharField(blank=True, max_length=10)),
                ('account_number', models.CharField(blank=True, max_length=20)),
                ('changed_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('iban', ''), _negated=True), models.Q(models.Q(('bank_code', ''), _negated=True), models.Q(('account_number', ''), _negated=True)), _connector='OR'), name='payout_account_reachable')],
            },
        ),
        migrations.CreateModel(
            name='Payout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('party', models.CharField(max_length=120)),
                ('amount', models.DecimalField(decimal_places=6, max_digits=20)),
                ('end_to_end_id', models.CharField(max_length=35, unique=True)),
                ('holder_name', models.CharField(max_length=70)),
                ('iban', models.CharField(blank=True, max_length=34)),
                ('bic', models.CharField(blank=True, max_length=11)),
                ('bank_code', models.CharField(blank=True, max_length=10)),
                ('branch_code', models.CharField(blank=True, max_length=10)),
                ('account_number', models.CharField(blank=True, max_length=20)),
                ('batch', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='aggregator.payoutbatch')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('batch', 'party'), name='payout_once_per_batch'), models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='payout_positive')],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
