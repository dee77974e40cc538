"""A MIG compiler: Mach interface definitions (.defs) in, C stubs and headers out.

The package is a pipeline, one module a stage: ``preprocess`` (the C preprocessor), ``lexer``,
``parser`` (to the nodes of ``syntax``), ``types`` and ``analysis`` (what each routine's messages
hold), ``layout`` (where each field lies), and ``emit`` (the C text). ``cli`` drives it with the
options of Apple's ``mig``.
"""

__version__ = "1.0"
