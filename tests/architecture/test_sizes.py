"""Small enough to hold in the head: files, functions, parameters, exports."""

import ast
from statistics import median

FILE_LINES = 500
FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 12
PARAMETERS = 6
EXPORTS = 8


def _length(function) -> int:
    return function.end_lineno - function.lineno + 1


def test_files_fit(everything):
    assert [
        f"{source.name}: {lines} lines" for source in everything if (lines := source.text.count("\n")) > FILE_LINES
    ] == []


def test_functions_fit(everything):
    assert [
        f"{source.at(function)} {function.name}: {_length(function)} lines"
        for source in everything
        for function in source.functions()
        if _length(function) > FUNCTION_LINES
    ] == []


def test_most_functions_are_short(package):
    lengths = [_length(function) for source in package for function in source.functions()]
    assert median(lengths) < MEDIAN_FUNCTION_LINES


def _is_command(function) -> bool:
    """A typer command: its parameters are the options that a person types, and typer reads them from the signature."""
    return any(
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in {"command", "callback"}
        for decorator in function.decorator_list
    )


def test_functions_take_few_parameters(package):
    found = []
    for source in package:
        for function in source.functions():
            arguments = function.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            count = len([argument for argument in named if argument.arg not in {"self", "cls"}])
            if count > PARAMETERS and not _is_command(function):
                found.append(f"{source.at(function)} {function.name}: {count} parameters")
    assert found == []


def _exports(tree: ast.Module) -> list[str]:
    """The names in `__all__`, or without one those that the module imports or defines in public."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            names += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
    return [name for name in names if not name.startswith("_")]


def test_rooms_show_few_names(package):
    assert [
        f"{source.name}: {len(names)} exported names"
        for source in package
        if source.path.name == "__init__.py" and len(names := _exports(source.tree)) > EXPORTS
    ] == []
