"""The tables of infer.py: which function handles which node, in which mode."""

from __future__ import annotations

from kiln.lang.check import branches, calls, collections, functions, infer, packages, records, sets
from kiln.lang.syntax import ast

infer.INFER.update(
    {
        ast.Int: infer.infer_int,
        ast.Bool: infer.infer_bool,
        ast.PathLit: infer.infer_path,
        ast.Str: infer.infer_str,
        ast.Var: infer.infer_var,
        ast.Con: infer.infer_con,
        ast.Get: infer.infer_get,
        ast.GetCon: infer.infer_get_con,
        ast.Let: infer.infer_let,
        ast.Assert: infer.infer_let,
        ast.If: infer.infer_if,
        ast.Annotated: infer.infer_annotated,
        ast.Binary: infer.infer_binary,
        ast.Unary: infer.infer_unary,
        ast.Match: branches.infer_match,
        ast.ListLit: collections.infer_list,
        ast.MapLit: collections.infer_map,
        ast.ListComp: collections.infer_list_comp,
        ast.MapComp: collections.infer_map_comp,
        ast.Record: records.infer_record,
        ast.Lambda: functions.infer_lambda,
        ast.Call: calls.infer_call,
        ast.Pipe: calls.infer_pipe,
        ast.With: packages.infer_with,
        ast.Overlay: sets.infer_overlay,
    }
)
infer.CHECK.update(
    {
        ast.Str: infer.check_str,
        ast.Let: infer.check_let,
        ast.Assert: infer.check_let,
        ast.If: infer.check_if,
        ast.Binary: infer.check_binary,
        ast.Match: branches.check_match,
        ast.ListLit: collections.check_list,
        ast.MapLit: collections.check_map,
        ast.ListComp: collections.check_list_comp,
        ast.MapComp: collections.check_map_comp,
        ast.Record: records.check_record,
        ast.Lambda: functions.check_lambda,
        ast.Call: calls.check_call,
        ast.Pipe: calls.check_pipe,
    }
)
