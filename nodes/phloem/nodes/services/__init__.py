"""What stands behind a Context: the services of `phloem.runtime.services`, each in its module."""
