import ast
import json
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from lumen_ui.components import snippets

BASE = 'https://lumen.example.org'
KEY = 'sk_lumen_' + 'a' * 38
NAMES = st.text(st.characters(exclude_characters='\x00', exclude_categories=('Cs',)), min_size=1, max_size=40)


@settings(deadline=None)
@given(NAMES)
def test_the_shell_takes_the_curl_command_as_one_command_whatever_the_model_is_called(model: str) -> None:
    # A real shell, with a function of that name that prints what it was given.
    script = f'curl() {{ printf "%s\\0" "$@"; }}\n{snippets.curl(BASE, KEY, model)}'
    words = subprocess.run(['sh', '-c', script], capture_output=True, check=True).stdout.decode().split('\0')
    assert words[0] == f'{BASE}/v1/chat/completions'
    assert words[1:5] == ['-H', f'Authorization: Bearer {KEY}', '-H', 'Content-Type: application/json']
    assert words[5] == '-d'
    assert json.loads(words[6])['model'] == model
    assert words[7:] == ['']


@given(NAMES)
def test_the_python_program_holds_the_model_as_plain_text_whatever_it_is_called(model: str) -> None:
    program = ast.parse(snippets.python(BASE, KEY, model))
    values = {node.arg: ast.literal_eval(node.value) for node in ast.walk(program) if isinstance(node, ast.keyword)}
    assert values['base_url'] == f'{BASE}/v1'
    assert values['api_key'] == KEY
    assert values['model'] == model
    assert len(program.body) == 4
