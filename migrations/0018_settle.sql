-- Whether a batch is settled is asked after each event. As a join that read every item of the batch wherever the
-- planner does not know how many there are, which is so from a claim until the next analyze.
set local role weekclose_owner;

create or replace function payouts.settle(settled_batch text, actor text) returns void language plpgsql as $$
begin
    perform
    from payouts.payouts
    where
        payout_window = (select payout_window from payouts.batches where batch_id = settled_batch)
        and status in ('submitted', 'awaiting_reconciliation')
        and exists (
            select
            from payouts.batch_items
            where batch_items.batch_id = settled_batch and batch_items.payout_number = payouts.payout_number
            -- Looked up, not joined.
            offset 0
        )
    order by payout_window desc, payout_number desc
    limit 1;
    if found then
        return;
    end if;
    update payouts.batches set state = 'settled' where batch_id = settled_batch and state = 'submitted';
    if found then
        perform payouts.audit(
            actor, 'settle', 'batch:' || settled_batch, jsonb_build_object('state', 'submitted'),
            jsonb_build_object('state', 'settled')
        );
    end if;
end
$$;
