-- The weights of the five risks sum to 1, so that the score runs from 0 to 100. With any other sum the
-- threshold of a review would not mean what people decided it means.
select weights.total
from (
    select
        {{ health('weight_dispute_rate') }}
        + {{ health('weight_disputed_value') }}
        + {{ health('weight_refund_value') }}
        + {{ health('weight_dispute_spike') }}
        + {{ health('weight_volume_growth') }} as total
) as weights
where weights.total != 1
