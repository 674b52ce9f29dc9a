"""`python -m tests.golden`: writes the golden files anew and says which changed."""

from __future__ import annotations

from tests import golden

if __name__ == "__main__":
    changed = golden.update()
    if golden.publish():
        changed.append(golden.PUBLISHED.name)
    print(f"changed: {', '.join(changed)}. Look at the difference in git before you commit it." if changed else "nothing changed")
