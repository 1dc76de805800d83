-- Keep a verified event, once: its id, or null when it was here before.
select payouts.receive_event(
    %(rail)s, %(event_id)s, %(event_type)s, %(status)s, %(payout)s, %(amount)s, %(currency)s,
    %(external_reference)s, %(failure_code)s, %(failure_reason)s, %(occurred_at)s, %(proves_content)s, %(body)s
)
