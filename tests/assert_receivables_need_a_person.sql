-- Nothing comes into force by itself that is no line: an invoice is somebody's word, and money that came back
-- outside the rail is selected by a person and shown by a document, whatever product or seller it concerns.
select
    class,
    scope,
    scope_value,
    mode,
    needs_document
from {{ ref('adjustment_policies') }}
where
    (class = 'gross_invoice_fee' and mode = 'auto')
    or (class = 'manual_cash_recovery' and (mode != 'manual' or not needs_document))
