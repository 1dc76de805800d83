{# dbt asks for a fixture's types as the catalog names them, and there an array's type is ARRAY, of whatever.
   Ours are all arrays of text. #}
{% macro postgres__safe_cast(field, type) -%}
    cast({{ field }} as {{ 'text[]' if type == 'ARRAY' else type }})
{%- endmacro %}
