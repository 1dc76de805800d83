-- How many adjustments wait until a person selects them.
select count(*) as adjustments
from payouts.adjustments
left join payouts.exceptions
    on adjustments.adjustment_number = exceptions.adjustment_number and exceptions.decision is null
where adjustments.status = 'proposed' and exceptions.exception_id is null
