from cleanplate.cli import main

main()
