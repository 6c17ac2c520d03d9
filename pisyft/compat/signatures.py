"""What PySyft remembers of a command's arguments and results, kept apart by their shape."""

import functools

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft remembers one layout of arguments and one of results for each name of a command",
    broke="a second module goes wrong in a process: its bias is dropped, its results are 'not found on worker'",
)
def remembered_signatures() -> None:
    from syft.generic.frameworks.hook import hook_args

    def layout_in_name(original, position: int, always_new: set[str]):
        """`original(name, ...)`, remembering by name and the layout of its argument at `position`.

        To `original` a name is a key and nothing else, except for `__iter__`, so the layout may be a part of it.
        """

        @functools.wraps(original)
        def remembering(name, *args, **kwargs):
            if name not in always_new and name != "__iter__":
                name = f"{name}{hook_args.build_rule(args[position])}"
            return original(name, *args, **kwargs)

        return remembering

    def one_fold(return_tuple):
        """As PySyft's, but with the keywords that the others of its kind take, which one result in a list needs."""

        def fold(folded, arguments, **kwargs):
            only = folded[0](arguments[0], **kwargs)
            return (only,) if return_tuple else only

        return fold

    hook_args.one_fold = one_fold
    methods, functions = hook_args.ambiguous_methods, hook_args.ambiguous_functions
    hook_args.unwrap_args_from_method = layout_in_name(hook_args.unwrap_args_from_method, 1, methods)
    hook_args.unwrap_args_from_function = layout_in_name(hook_args.unwrap_args_from_function, 0, functions)
    hook_args.hook_response = layout_in_name(hook_args.hook_response, 0, functions)
    hook_args.register_response = layout_in_name(hook_args.register_response, 0, methods | functions)
