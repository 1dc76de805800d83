{# The instant from which a data test that would grow with history looks: audit_days before as_of. What was
   there before has been looked at then; a full refresh looks at all of it again. #}
{% macro audited_since() -%}
    {%- if flags.FULL_REFRESH -%}
        cast('-infinity' as timestamptz)
    {%- else -%}
        ({{ as_of() }} - interval '{{ var("audit_days") | int * 24 }} hours')
    {%- endif -%}
{%- endmacro %}
