    'key.format' = 'raw',
    'value.format' = 'json',
    'value.json.timestamp-format.standard' = 'ISO-8601'
