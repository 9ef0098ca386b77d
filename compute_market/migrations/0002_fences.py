"""The database keeps the fences: no work, checkpoint or result under a lease that another has replaced."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION compute_lease_is_held() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held record;
BEGIN
    SELECT lease.state, lease.fencing_token, lease.job_id, job.fence INTO held
    FROM compute_market_lease lease JOIN compute_market_job job ON job.id = lease.job_id
    WHERE lease.id = NEW.lease_id FOR SHARE OF lease;
    IF held.state <> 'live' OR held.fencing_token <> held.fence THEN
        RAISE EXCEPTION 'lease % is %, with token % of %: it may not write',
            NEW.lease_id, held.state, held.fencing_token, held.fence USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER checkpoint_under_held_lease BEFORE INSERT ON compute_market_checkpoint
    FOR EACH ROW EXECUTE FUNCTION compute_lease_is_held();
CREATE TRIGGER work_slice_under_held_lease BEFORE INSERT ON compute_market_workslice
    FOR EACH ROW EXECUTE FUNCTION compute_lease_is_held();
CREATE TRIGGER result_under_held_lease BEFORE INSERT ON compute_market_result
    FOR EACH ROW EXECUTE FUNCTION compute_lease_is_held();

-- tokens of a job only grow, and a lease that has ended stays ended
CREATE FUNCTION compute_lease_token_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.fencing_token <> OLD.fencing_token OR (OLD.state <> 'live' AND NEW.state <> OLD.state) THEN
            RAISE EXCEPTION 'lease % has ended as % with token %', OLD.id, OLD.state, OLD.fencing_token
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.fencing_token <= coalesce(
        (SELECT max(fencing_token) FROM compute_market_lease WHERE job_id = NEW.job_id), 0) THEN
        RAISE EXCEPTION 'token % of job % is not above those before', NEW.fencing_token, NEW.job_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER lease_token_grows BEFORE INSERT OR UPDATE ON compute_market_lease
    FOR EACH ROW EXECUTE FUNCTION compute_lease_token_grows();

-- what a slice was worth never changes, and it is booked once
CREATE FUNCTION compute_work_slice_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.cpu_s <> OLD.cpu_s OR NEW.amount <> OLD.amount OR NEW.owner_amount <> OLD.owner_amount
        OR NEW.platform_amount <> OLD.platform_amount OR NEW.currency <> OLD.currency
        OR NEW.lease_id <> OLD.lease_id OR NEW.sequence <> OLD.sequence
        OR (OLD.booked_at IS NOT NULL AND NEW.booked_at IS DISTINCT FROM OLD.booked_at)
        OR (OLD.voided_at IS NOT NULL AND NEW.voided_at IS DISTINCT FROM OLD.voided_at) THEN
        RAISE EXCEPTION 'work slice % is recorded and may not be changed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER work_slice_is_kept BEFORE UPDATE ON compute_market_workslice
    FOR EACH ROW EXECUTE FUNCTION compute_work_slice_is_kept();
"""

BACKWARD = """
DROP TRIGGER work_slice_is_kept ON compute_market_workslice;
DROP TRIGGER lease_token_grows ON compute_market_lease;
DROP TRIGGER result_under_held_lease ON compute_market_result;
DROP TRIGGER work_slice_under_held_lease ON compute_market_workslice;
DROP TRIGGER checkpoint_under_held_lease ON compute_market_checkpoint;
DROP FUNCTION compute_work_slice_is_kept;
DROP FUNCTION compute_lease_token_grows;
DROP FUNCTION compute_lease_is_held;
"""


class Migration(migrations.Migration):
    dependencies = [("compute_market", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
